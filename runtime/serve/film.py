"""GET /morph.mp4, .webp and .gif: the films of `gantool morph`, whose images come through the queue."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import Future
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gantool.runtime import morph
from gantool.runtime.classes import OfImage
from gantool.runtime.errors import UsageError
from gantool.runtime.options import MorphOptions
from gantool.runtime.serve.batching import itself
from gantool.runtime.serve.engines import Engine, Wanted
from gantool.runtime.serve.images import cached, unchanged
from gantool.runtime.serve.queries import FilmQuery, shown
from gantool.runtime.serve.service import Refused, Service, etag, unless_gone
from gantool.runtime.serve.streamed import Streamed
from gantool.runtime.spec import Images, Latents, Spec

T = TypeVar("T")
MEDIA_TYPES = {"mp4": "video/mp4", "webp": "image/webp", "gif": "image/gif"}
_CHUNK = 1 << 18  # bytes


class Shared:
    """A source of images for a film, in a thread, from an engine that others use too."""

    def __init__(self, service: Service, engine: Engine) -> None:
        """Make it in the event loop."""
        self.spec: Spec = engine.spec
        self.stopped = False
        self._service, self._engine = service, engine
        self._loop = asyncio.get_running_loop()

    def run(
        self,
        labelled: Iterable[tuple[T, OfImage | None]],
        z_of: Callable[[list[T]], Latents],
        batch: int | None = None,
    ) -> Iterator[tuple[list[T], Images]]:
        """Yield each batch of `labelled` with its images, as `Generator.run` does."""
        pairs = iter(labelled)
        while chunk := list(islice(pairs, batch or self._service.options.max_batch)):
            keys = [key for key, _ in chunk]
            wanted: Wanted = [(row, label) for row, (_, label) in zip(z_of(keys), chunk, strict=True)]
            work = self._service.line.submit(self._engine, wanted, itself, admitted=True)
            future: Future[Images] = asyncio.run_coroutine_threadsafe(work, self._loop)
            yield keys, future.result()

    def made(self, frames: int) -> None:  # noqa: ARG002
        """Go on, or end because the client has gone."""
        if self.stopped:
            raise ClientDisconnect


async def film(service: Service, request: Request, query: FilmQuery) -> Response:
    """Answer with a film: made whole, in a file that has no name any more, then sent."""
    kind = request.path_params["kind"]
    if kind not in MEDIA_TYPES:
        known = ", ".join(f"morph.{each}" for each in MEDIA_TYPES)
        raise Refused(404, f"there is no {shown(f'morph.{kind}')}: ask for {known}")
    if kind == "mp4" and find_spec("av") is None:
        raise Refused(
            501,
            "morph.mp4 needs the extra video where the server runs, pip install 'gantool[video]'; morph.webp and "
            "morph.gif need nothing",
        )
    engine = service.engine(query.look.model)
    service.seeds(query.seeds)
    with tempfile.TemporaryDirectory(prefix="gantool-", ignore_cleanup_errors=True) as folder:
        shot = _shot(service, engine, query, Path(folder) / f"morph.{kind}")
        tag = etag(engine, "morph", kind, query)
        if answer := unchanged(service, request, tag):
            return answer
        with service.long():
            source = Shared(service, engine)
            try:
                await unless_gone(request, asyncio.to_thread(morph.write, shot, source, source.made))
            except BaseException:
                source.stopped = True
                raise
        file = shot.options.out.open("rb")
    headers = {**cached(service, tag), "content-length": str(os.fstat(file.fileno()).st_size)}
    return Streamed(_chunks(file), MEDIA_TYPES[kind], headers)


def _shot(service: Service, engine: Engine, query: FilmQuery, out: Path) -> morph.Shot:
    """Return the film before it is made. Raises UsageError for one that is too long or too large."""
    options = MorphOptions(
        seeds=query.seeds,
        frames=query.frames,
        loop=query.loop,
        ease=query.ease,
        label=query.look.label,
        truncation=query.look.truncation,
        out=out,
        fps=query.fps,
        upscale=query.upscale,
        batch=service.options.max_batch,
        mark=service.options.mark,
        credit=service.options.credit,
        aigc=service.options.aigc,
    )
    shot = morph.plan(options, morph.check(options), engine.spec)
    if engine.marks is not None:
        shot = morph.marked(shot, engine.marks.record, engine.spec.authorship)
    made = shot.film
    if made.frames > service.options.max_frames:
        raise UsageError(
            f"a film of {made.frames:,} frames: this server makes up to {service.options.max_frames:,}; give "
            "fewer seeds or frames"
        )
    if max(made.height, made.width) > max(service.options.max_size, engine.spec.height, engine.spec.width):
        raise UsageError(
            f"frames of {made.height:,}×{made.width:,} pixels: this server makes up to "
            f"{service.options.max_size:,} a side; give a smaller upscale"
        )
    return shot


async def _chunks(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk

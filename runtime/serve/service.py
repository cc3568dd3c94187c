"""What the doors share: engines, the line in front of them, limits, and the errors that clients get."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from typing import TypeVar

import numpy as np
from starlette.requests import ClientDisconnect, Request

import gantool
from gantool.runtime.errors import UsageError
from gantool.runtime.latents import check_truncation
from gantool.runtime.seeds import MAX_SEED, Seed, parse_seeds
from gantool.runtime.serve.batching import BusyError, Line, itself
from gantool.runtime.serve.connection import CLIENT, Client
from gantool.runtime.serve.engines import Engine, Wanted, wanted_seeds
from gantool.runtime.serve.metrics import Metrics
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.serve.queries import Look, shown
from gantool.runtime.spec import Images

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 (it is an answer)
    """An answer other than 200, with a message for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(eq=False)
class Service:
    """A running server."""

    options: ServeOptions
    engines: dict[str, Engine]  # by model; the first is the default
    golden: dict[str, Images]  # images of the golden seeds by model, as they were at the start
    metrics: Metrics = field(default_factory=Metrics)
    closing: bool = False  # it answers what it has begun, and ends
    streams: int = 0  # long answers in progress
    checking: asyncio.Task[dict[str, dict[str, int]]] | None = None  # of the golden seeds

    @cached_property
    def line(self) -> Line:
        """The queue and its threads; they start with it."""
        return Line(self.options, self.metrics)

    def engine(self, name: str | None) -> Engine:
        """Return the engine of a model, None: the default. Raises Refused for an unknown one."""
        if name is None:
            return next(iter(self.engines.values()))
        if name not in self.engines:
            raise Refused(404, f"there is no model {shown(name)}: this server has {', '.join(self.engines)}")
        return self.engines[name]

    @contextmanager
    def long(self) -> Iterator[None]:
        """Count a long answer while the block runs. Raises BusyError if there are too many."""
        if self.streams >= self.options.max_streams:
            self.metrics.rejected += 1
            raise BusyError(f"the server has {self.streams} long answers in progress, and takes no more")
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def seeds(self, text: str, steps: int | None = None, most: int | None = None) -> list[Seed]:
        """Parse seeds, as many as a request may ask for, or `most`. Raises UsageError."""
        found = parse_seeds(text, steps)
        self.check_count(len(found), most)
        return list(found)

    def check_count(self, count: int, most: int | None = None) -> None:
        """Raise UsageError for a number of images that a request may not ask for."""
        most = most or self.options.max_seeds
        if not 1 <= count <= most:
            raise UsageError(f"{count:,} images: this server makes 1 to {most:,} a request")

    def check_size(self, size: int | None) -> None:
        """Raise UsageError for a size in pixels that is over the limit."""
        if size is not None and size > self.options.max_size:
            raise UsageError(
                f"size {size:,}: this server makes images of up to {self.options.max_size:,} pixels"
            )

    def wanted(self, engine: Engine, look: Look, seeds: Sequence[Seed]) -> Wanted:
        """Return what the images of seeds are of. Raises UsageError for a look that the engine does not have."""
        check_truncation(look.truncation, None, engine.spec.distribution)
        return wanted_seeds(engine.spec, seeds, look.truncation, look.label)

    def batches(self, wanted: Wanted) -> list[Wanted]:
        """Cut a request into batches."""
        most = self.options.max_batch
        return [wanted[start : start + most] for start in range(0, len(wanted), most)]

    async def answer(self, engine: Engine, wanted: Wanted, finish: Callable[[Images], T]) -> T:
        """Return `finish(images)`, in a thread, of any number of images that a request may ask for."""
        batches = self.batches(wanted)
        if len(batches) == 1:
            return await self.line.submit(engine, wanted, finish)
        with self.long():
            made = [await self.line.submit(engine, batch, itself, admitted=True) for batch in batches]
            return await asyncio.to_thread(finish, np.concatenate(made))


def check_seed(seed: Seed) -> Seed:
    """Return a seed. Raises UsageError for a number that is not one."""
    if isinstance(seed, int) and not 0 <= seed <= MAX_SEED:
        raise UsageError(f"`seeds`: {seed} is outside 0 to {MAX_SEED}")
    return seed


def etag(engine: Engine, *of: object) -> str:
    """Return the tag of an answer: from the engine's file, what runs, encodes and marks it, and the parameters."""
    marks = None if engine.marks is None else engine.marks.said
    text = json.dumps([engine.sha256, engine.generator.name, versions(), marks, of], default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


@cache
def versions() -> tuple[str, str]:
    """Return the versions of what makes and encodes an image; looking them up takes a millisecond."""
    return gantool.__version__, version("pillow")


def matches(request: Request, tag: str) -> bool:
    """Return whether the client has the answer with this tag already."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    tags = (each.strip().removeprefix("W/") for each in given.split(","))
    return given.strip() == "*" or tag in tags


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` returns; cancel it if the client goes away, and raise ClientDisconnect."""
    client: Client = request.scope["state"][CLIENT]
    task = asyncio.current_task()
    assert task is not None
    client.on_gone = task.cancel
    if client.gone:
        task.cancel()
    try:
        return await work
    except asyncio.CancelledError:
        if client.gone:
            raise ClientDisconnect from None
        raise
    finally:
        client.on_gone = None

"""GET /stream.mjpg: an endless stream of JPEGs, as cameras send it, for browsers, OpenCV, GStreamer and VLC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from itertools import cycle, islice

from starlette.requests import Request
from starlette.responses import Response

from gantool.runtime.seeds import Seed
from gantool.runtime.serve.engines import Engine
from gantool.runtime.serve.images import packet_of
from gantool.runtime.serve.pixels import encode
from gantool.runtime.serve.queries import StreamQuery
from gantool.runtime.serve.service import Service, unless_gone
from gantool.runtime.serve.streamed import Streamed, joined
from gantool.runtime.spec import Images

BOUNDARY = "frame"
MEDIA_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


async def stream(service: Service, request: Request, query: StreamQuery) -> Response:
    """Answer with the images of seeds, over and over, until the client goes or the server ends."""
    engine = service.engine(query.look.model)
    seeds = service.seeds(query.seeds, query.steps, service.options.max_frames)
    service.check_size(query.size)
    service.wanted(engine, query.look, seeds[:1])  # raises UsageError before the answer begins
    frames = _frames(service, engine, query, seeds)
    first = await unless_gone(request, frames.__anext__())
    return Streamed(
        joined(f"--{BOUNDARY}\r\n".encode() + first, frames), MEDIA_TYPE, {"cache-control": "no-store"}
    )


async def _frames(
    service: Service, engine: Engine, query: StreamQuery, seeds: Sequence[Seed]
) -> AsyncGenerator[bytes, None]:
    """Yield parts of the stream, at their time. A client that reads slowly misses frames, and is not caught up."""
    loop, period = asyncio.get_running_loop(), 1 / query.fps

    def finish(packet: bytes | None, images: Images) -> bytes:
        return _part(encode(images[0], "jpg", query.size, packet))

    with service.long():
        due = loop.time()
        for seed in islice(cycle(seeds), query.frames):
            if service.closing:
                return
            wanted = service.wanted(engine, query.look, [seed])
            marked = partial(finish, packet_of(engine, wanted, "jpg"))
            part = await service.line.submit(engine, wanted, marked, admitted=True)
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield part
            due = max(due + period, loop.time())


def _part(jpeg: bytes) -> bytes:
    """Return a frame and the boundary after it: a client shows the frame when it has read the boundary."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()

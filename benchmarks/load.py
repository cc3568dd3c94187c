"""The load generator of benchmarks/serve.py: clients on loopback that each wait for an answer and ask again.

It has a process of its own and does little, since it takes its CPU time from the server that it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle
from multiprocessing.connection import Connection
from typing import Literal

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

from gantool.runtime.latents import latents

HOST = "127.0.0.1"
Kind = Literal["png", "raw", "tritonclient"]
Ask = Callable[[], Awaitable[None]]  # one image
WARM = 0.5  # seconds before those that count
_seeds = count()  # of all runs, so that nobody answers with what it has made before


@dataclass(frozen=True)
class Order:
    """What to ask for, and how."""

    kind: Kind
    port: int
    model: str
    latent: int
    clients: int
    seconds: float


@dataclass
class Load:
    """What came back in the seconds that count."""

    seconds: float  # of the clock
    cpu: float = 0  # seconds of the load generator
    latencies: list[float] = field(default_factory=list)  # seconds to an image


def work(orders: Connection) -> None:
    """Answer each Order with a Load, until None comes."""
    while (order := orders.recv()) is not None:
        orders.send(asyncio.run(_run(order)))


async def _run(order: Order) -> Load:
    load = Load(order.seconds)
    connect = _library if order.kind == "tritonclient" else partial(_socket, _requests(order))
    begin = time.perf_counter() + WARM
    end = begin + order.seconds

    async def client(ask: Ask) -> None:
        while (started := time.perf_counter()) < end:
            await ask()
            if begin < (now := time.perf_counter()) < end:
                load.latencies.append(now - started)

    async def one() -> None:
        async with connect(order) as ask:
            await client(ask)

    async def cpu() -> None:
        await asyncio.sleep(WARM)
        before = time.process_time()
        await asyncio.sleep(order.seconds)
        load.cpu = time.process_time() - before

    together = asyncio.gather(cpu(), *(one() for _ in range(order.clients)))
    await asyncio.wait_for(together, WARM + order.seconds + 30)
    return load


def _requests(order: Order) -> Iterator[bytes]:
    """Yield requests of HTTP: of PNG for new seeds, or of tensors, as tritonclient writes them, for 256 seeds."""
    if order.kind == "png":
        for seed in _seeds:
            yield f"GET /images/{seed}.png HTTP/1.1\r\nHost: {HOST}:{order.port}\r\n\r\n".encode()
    path = f"POST /v2/models/{order.model}/infer HTTP/1.1\r\nHost: {HOST}:{order.port}\r\n"
    sent = []
    for z in latents(range(256), order.latent):
        body, header = triton.InferenceServerClient.generate_request_body([tensor(z)])
        lengths = f"Content-Length: {len(body)}\r\nInference-Header-Content-Length: {header}\r\n\r\n"
        sent.append((path + lengths).encode() + body)
    yield from cycle(sent)


def tensor(z: np.ndarray) -> triton.InferInput:
    """Return the input of a request for one image, of z [latent]."""
    one = triton.InferInput("z", [1, len(z)], "FP32")
    one.set_data_from_numpy(z[None])
    return one


@asynccontextmanager
async def _socket(requests: Iterator[bytes], order: Order) -> AsyncIterator[Ask]:
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(_Client, HOST, order.port)

    async def ask() -> None:
        transport.write(next(requests))
        client.answer = loop.create_future()
        await client.answer

    try:
        yield ask
    finally:
        transport.close()


class _Client(asyncio.Protocol):
    """A connection: sets `answer` when a whole answer with status 200 has come."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None]
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        status, *fields = head.lower().split(b"\r\n")
        (length,) = (int(one[15:]) for one in fields if one.startswith(b"content-length:"))
        if len(body) < length:
            return
        if b" 200 " in status + b" ":
            self.answer.set_result(None)
        else:
            self.answer.set_exception(ConnectionError(self._data[:200].decode(errors="replace")))
        self._data.clear()

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "answer") and not self.answer.done():
            self.answer.set_exception(error or ConnectionError("the server closed the connection"))


@asynccontextmanager
async def _library(order: Order) -> AsyncIterator[Ask]:
    """Ask as a program would, with tritonclient and for an array."""
    async with triton_aio.InferenceServerClient(f"{HOST}:{order.port}") as client:
        zs = cycle(latents(range(256), order.latent))

        async def ask() -> None:
            result = await client.infer(order.model, [tensor(next(zs))])
            assert result.as_numpy("images") is not None

        yield ask

"""One connection: uvicorn's protocol of h11, with limits on the head of a request; tells when the client goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for the request line and the headers, from the first byte or the connection on
LINGER_SECONDS = 60.0  # for the rest of an answer, after the time of an idle connection


CLIENT = "gantool.client"  # key in the state of a request


@dataclass(eq=False)
class Client:
    """Who asks over a connection: one request at a time."""

    refused: bool = False  # too many connections were open when it came
    gone: bool = False
    on_gone: Callable[[], object] | None = None  # called when the client goes


class _Joined:
    """A transport that sends what was written in one turn of the event loop as one: head and body of an answer.

    Each send gives up the interpreter, and waits until the threads give it back.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(b"".join(parts))


class Connection(H11Protocol):
    """Closes a connection that takes too long to say what it wants: many slow ones would use up the server.

    h11 itself refuses a head of more than 64 KiB.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        # uvicorn's own 503 would also refuse those who were here before, and without Retry-After
        limit, self.limit_concurrency = self.limit_concurrency, None
        self._client = Client(refused=limit is not None and len(self.connections) >= limit)
        self.app_state = {CLIENT: self._client}
        super().connection_made(cast("asyncio.Transport", _Joined(transport, self.loop)))
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop()
        super().connection_lost(exc)
        self._client.gone = True
        if self._client.on_gone:
            self._client.on_gone()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def on_response_complete(self) -> None:
        """Wait for the next request, or until the client has read what ends the connection."""
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and later one whose client does not read its answer."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _late(self) -> None:
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

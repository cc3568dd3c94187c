"""An answer that is sent while it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send


async def joined(
    first: bytes, parts: AsyncGenerator[bytes, None], last: bytes = b""
) -> AsyncGenerator[bytes, None]:
    """Yield the part that was waited for, so that its errors still had a status, the other parts, and an end."""
    async with aclosing(parts):
        yield first
        async for part in parts:
            yield part
        if last:
            yield last


class Streamed(StreamingResponse):
    """Ends what makes the answer when the client has gone; Starlette leaves that to the garbage collector."""

    def __init__(
        self, parts: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._parts = parts

    async def stream_response(self, send: Send) -> None:
        """Send all parts."""
        async with aclosing(self._parts):
            await super().stream_response(send)

"""Read the body of a request: up to a size, and within a time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request

from gantool.runtime.errors import UsageError
from gantool.runtime.foreign import parse_json
from gantool.runtime.process.terminal import message_of
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.serve.service import Refused

MIB = 1 << 20


async def read(request: Request, options: ServeOptions) -> bytes:
    """Return the body. Raises Refused for one that is too large, too slow or compressed."""
    most = options.max_body * MIB
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "this server reads no compressed bodies: send it as it is")
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdecimal() and int(length[:19]) > most:
        raise _too_large(options)
    try:
        return await asyncio.wait_for(_read(request, most, options), options.timeout)
    except asyncio.TimeoutError:
        raise Refused(408, f"the body did not arrive within {options.timeout:g} s") from None


async def read_json(request: Request, options: ServeOptions) -> dict[str, Any]:
    """Return the body, a JSON object. Raises Refused, and UsageError for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # a page of another site may send text/plain without asking, but not this
        raise Refused(415, "send JSON, with Content-Type: application/json")
    return parse(await read(request, options))


def parse(text: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises UsageError."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UsageError(f"the body is not JSON: {message_of(error)}") from None
    if not isinstance(value, dict):
        raise UsageError('the body is not a JSON object, as in {"seeds": "0-9"}')
    return value


async def _read(request: Request, most: int, options: ServeOptions) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(options)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(options: ServeOptions) -> Refused:
    return Refused(413, f"the body is larger than {options.max_body} MiB")

"""What every request passes: the names of the server, the token, errors as JSON, the log and the counters."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gantool.runtime.errors import UsageError
from gantool.runtime.process.terminal import reason_of
from gantool.runtime.serve.answers import Json
from gantool.runtime.serve.batching import BusyError
from gantool.runtime.serve.connection import CLIENT
from gantool.runtime.serve.doors import DOOR, OPEN, router
from gantool.runtime.serve.queries import in_words, shown
from gantool.runtime.serve.service import Refused, Service

RETRY = {"retry-after": "1"}  # seconds
GONE = 499  # for the log: the client went away before the answer
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Seen:
    """What the log tells of a request."""

    began: float
    status: int = 0  # 0: no answer yet
    bytes: int = 0  # of the body of the answer


class Gate:
    """The ASGI application: the doors, and what stands before them."""

    def __init__(self, service: Service) -> None:
        self._service, self._doors = service, router(service)
        self._token = (service.options.secret or "").encode()
        self._hosts = {host.lower() for host in service.options.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["app"] = self  # then Starlette raises its own errors
        seen, timeout = Seen(time.monotonic()), self._service.options.timeout

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            else:
                seen.bytes += len(message.get("body", b""))
            if message.get("more_body"):  # a client that stops reading must not keep its place for ever
                await asyncio.wait_for(send(message), timeout)
            else:
                await send(message)

        metrics = self._service.metrics
        metrics.running += 1
        try:
            await self._answer(scope, receive, counted, seen)
        finally:
            metrics.running -= 1
            seconds = time.monotonic() - seen.began
            metrics.request(scope.get(DOOR, "other"), seen.status or GONE, seconds)
            if _log.isEnabledFor(logging.INFO):
                fields = _fields(scope, seen, seconds)
                _log.info("%s", _line(fields), extra={"request": fields})

    async def _answer(self, scope: Scope, receive: Receive, send: Send, seen: Seen) -> None:
        try:
            app: ASGIApp = self._refusal(scope) or self._doors
            await app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:
            if seen.status:  # it has begun: only an end that comes too early can tell
                _log.warning("%s ended early: %s", _path(scope), reason_of(error, 300))
                raise
            await _response(error, scope)(scope, receive, send)
        except asyncio.CancelledError:  # its time after a SIGTERM is over
            if seen.status:
                raise
            await _json(503, "the server is ending", RETRY)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not pass, or None."""
        if scope["state"][CLIENT].refused:
            self._service.metrics.rejected += 1
            text = "the server has as many connections open as it takes: come again"
            return _json(503, text, {**RETRY, "connection": "close"})
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if "*" not in self._hosts and _name(host) not in self._hosts:
            return _json(421, f"this server is not called {shown(_name(host))}: see --allowed-hosts")
        # of the open doors, only the page has parameters that need no token: /healthz?deep=1 is work
        is_open = scope["path"] == "/" or (scope["path"] in OPEN and not scope["query_string"])
        if self._token and not is_open:
            kind, _, given = headers.get(b"authorization", b"").partition(b" ")
            if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                text = "this server asks for a token: send the header Authorization: Bearer TOKEN"
                return _json(401, text, {"www-authenticate": "Bearer"})
        return None


def _name(host: str) -> str:
    """Return the name in a header Host, without the port: localhost for localhost:8000, ::1 for [::1]:8000."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _response(error: Exception, scope: Scope) -> Response:
    """Return the answer that tells a client of an error: nothing of the server's inside."""
    match error:
        case UsageError():
            return _json(400, in_words(str(error)))
        case BusyError():
            return _json(503, f"{error}: come again", RETRY)
        case Refused():
            return _json(error.status, str(error), RETRY if error.status == 503 else None)
        case HTTPException(status_code=404):
            return _json(404, f"there is no {shown(scope['path'])}: /openapi.json lists what there is")
        case HTTPException():
            return _json(error.status_code, f"{scope['path']} does not take {scope['method']}", error.headers)
    _log.warning("%s failed: %s", _path(scope), reason_of(error, 300))
    _log.debug("where it failed:", exc_info=error)
    return _json(500, "the server failed; its log says how")


def _json(status: int, text: str, headers: Any = None) -> Response:
    return Json({"error": text}, status, headers)


def _line(fields: dict[str, Any]) -> str:
    """Return the line of the log."""
    return (
        f'{fields["client"]} "{fields["method"]} {fields["path"]}" {fields["status"]}, {fields["bytes"]:,} bytes, '
        f"{fields['ms']:g} ms"
    )


def _fields(scope: Scope, seen: Seen, seconds: float) -> dict[str, Any]:
    query = scope["query_string"].decode("latin-1")
    raw = _path(scope)
    return {
        "client": (scope.get("client") or ("-",))[0],
        "method": scope["method"],
        "path": f"{raw}?{query}" if query else raw,
        "status": seen.status or GONE,
        "bytes": seen.bytes,
        "ms": round(1000 * seconds, 1),
    }


def _path(scope: Scope) -> str:
    """Return the path as the client wrote it: decoded, it might have line ends."""
    path: str = scope["raw_path"].decode("latin-1")
    return path


class JsonLines(logging.Formatter):
    """Makes each line of the log a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = {"time": f"{when}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        fields = getattr(record, "request", None)
        return json.dumps({**head, **(fields or {"message": record.getMessage()})})

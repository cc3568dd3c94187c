"""Start a server, and end it: sockets, signals, the first images."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gantool.runtime.errors import GantoolError
from gantool.runtime.serve import engines
from gantool.runtime.serve.connection import Connection
from gantool.runtime.serve.gate import Gate, JsonLines
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.serve.service import Service
from gantool.runtime.spec import Images

_BACKLOG = 2048  # connections that wait to be accepted
_CONNECTIONS = 2000  # over it, the answer is 503
_OWN_FILES = 100  # that are open beside connections
_HEADERS = ("Authorization", "Content-Type", "If-None-Match", "Inference-Header-Content-Length")
_EXPOSED = ("ETag", "Inference-Header-Content-Length", "Retry-After")
_log = logging.getLogger(__name__)


def serve(options: ServeOptions, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then end what has begun; call `started` with the address when it listens.

    Raises GantoolError if an engine does not load or run, or if the port is taken.
    """
    if options.log_json:
        for handler in logging.getLogger("gantool").handlers:
            handler.setFormatter(JsonLines())
    with listening(options) as listener, opened(options) as service:
        url = address(listener)
        for engine in service.engines.values():
            _log.info("%s: images of %s, %s", engine.name, engine.spec.size, engine.generator.name)
        if not options.loopback and not options.secret:
            _log.warning(
                "warning: whoever reaches %s may use it: set GANTOOL_TOKEN, or leave `host` out", url
            )
        server(service, lambda: started(url)).run([listener])


@contextmanager
def opened(options: ServeOptions) -> Iterator[Service]:
    """Yield a service whose engines are loaded and have made their first images."""
    loaded = engines.load(options)
    try:
        service = Service(options, loaded, {name: _first(options, each) for name, each in loaded.items()})
        try:
            yield service
        finally:
            service.closing = True
            service.line.close()
    finally:
        engines.close(loaded)


def server(service: Service, started: Callable[[], None] = lambda: None) -> Server:
    """Return the server of a service: run it with a bound socket. It calls `started` when it listens."""
    app: ASGIApp = Gate(service)
    if service.options.cors:
        app = CORSMiddleware(app, service.options.cors, ("GET", "POST"), _HEADERS, expose_headers=_EXPOSED)
    for name in ("uvicorn.error", "asyncio"):  # their lines have tracebacks; the gate logs what failed
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # any local client could write what it likes into the log
        backlog=_BACKLOG,
        limit_concurrency=_connections(),
        timeout_graceful_shutdown=max(1, round(service.options.timeout)),
    )
    return Server(config, service, started)


class Server(uvicorn.Server):
    """uvicorn, which tells the service that the end has come, and ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._tell = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: new connections are refused, streams stop, requests that have begun are answered."""
        self._service.closing = True
        _log.info("ending: %d requests in progress", self._service.metrics.running)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while the server runs; uvicorn would raise them again at the end."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()


def _connections() -> int:
    """Return how many connections may be open; raise the limit of open files for them, as far as that goes."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return _CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OWN_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(_CONNECTIONS, soft - _OWN_FILES))


def _first(options: ServeOptions, engine: engines.Engine) -> Images:
    """Return the images of the golden seeds; with them an engine has allocated its memory."""
    wanted, most = engine.golden(), options.max_batch
    return np.concatenate([engine.images(wanted[i : i + most]) for i in range(0, len(wanted), most)])


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def listening(options: ServeOptions) -> Iterator[socket.socket]:
    """Yield a bound socket: a taken port is known before an engine is loaded. Raises GantoolError."""
    try:
        kind, *_, where = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise GantoolError(
            f"`host` {options.host} is not an address of this machine: give 127.0.0.1 or 0.0.0.0"
        ) from None
    # asyncio sets TCP_NODELAY only where the protocol is named: without it, an answer waits for an ACK, 40 ms
    with socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(where)
        except PermissionError:
            raise GantoolError(f"`port` {options.port} is for the superuser: give one from 1024") from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise GantoolError(
                f"`port` {options.port} on {options.host} cannot be used ({why}): give another one, 0 for a free "
                "one, or an address of this machine as `host`"
            ) from None
        yield listener


def quiet_signals() -> None:
    """Leave the signals to uvicorn: gantool's own watch would cancel the engine one second after SIGTERM."""
    with suppress(ValueError):  # not in the main thread
        signal.set_wakeup_fd(-1)

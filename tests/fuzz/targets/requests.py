"""Requests to `gantool serve`, through its ASGI application: paths, queries, headers and bodies of strangers.

An input is a request as HTTP writes it: a line with method and address, headers, an empty line, the body.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from urllib.parse import unquote

import numpy as np

from fuzz.harness import folder, put
from fuzz.mutate import json_values
from gantool.runtime.errors import GantoolError
from gantool.runtime.serve.connection import CLIENT, Client
from gantool.runtime.serve.gate import Gate
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.serve.run import opened
from gantool.runtime.serve.service import Service
from helpers.serving import graph_of
from helpers.tiny import soft_graph

_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT")
_MOST = 200  # messages of one answer
_JSON = "Content-Type: application/json\n\n"
_Z = [0.5] * 16  # as many as the generators take
_INPUTS: list[dict[str, object]] = [{"name": "z", "datatype": "FP32", "shape": [1, len(_Z)], "data": _Z}]
_KSERVE = {"inputs": _INPUTS, "id": "a"}


def MUTATE(data: bytes, most: int, seed: int) -> bytes:  # noqa: N802
    import atheris

    head, gap, body = data.partition(b"\n\n")
    if body.startswith(b"{") and seed % 4:
        return head + gap + json_values(body, max(most - len(head) - 2, 2), seed)
    return bytes(atheris.Mutate(data, most))


def seeds() -> Iterator[bytes]:
    _server()  # before any input runs: it tries the graphs in processes of their own
    for path in (
        *(
            "/",
            "/page/info.json",
            "/images/5.png?trunc=0.5",
            "/images/1+2.jpg?size=20",
            "/images/3~9@2of8.webp",
        ),
        *(
            "/grid.png?seeds=0-3&columns=2",
            "/morph.gif?seeds=0,1&frames=2&upscale=2",
            "/healthz?deep=1",
            "/metrics",
        ),
        *(
            "/readyz",
            "/openapi.json",
            "/v2",
            "/v2/health/live",
            "/v2/models/conditional",
            "/v2/models/fp32/config",
        ),
        *("/v2/models/fp32/versions/1/ready", "/images/5.png?model=conditional&class=1"),
        "/morph.webp?seeds=3,1&frames=2&ease=true&model=conditional&class=1",
        "/page/info.json?model=conditional",
        "/stream.mjpg?seeds=0-3&frames=2&fps=60&size=20",
    ):
        yield f"GET {path}\n\n".encode()
    yield b"GET /images/5.png\nIf-None-Match: *\n\n"
    for asked in ({"seeds": [0, "1+2"], "image": "webp"}, {"z": [_Z]}, {"seeds": "0-3", "trunc": 0.7}):
        yield f"POST /generate\n{_JSON}{json.dumps(asked)}".encode()
    shares = [0.5, 0.25, 0.25]
    for model, label in (
        *(("conditional", each) for each in ([0, 1, 2], ["0", "1", "2"], 1, "1")),
        *(("soft", each) for each in (shares, [shares] * 3, [2, 0, 1], 1)),
    ):
        of_class = {"seeds": "0-2", "class": label, "model": model}
        yield f"POST /generate?format=npy\n{_JSON}{json.dumps(of_class)}".encode()
    yield f"POST /v2/models/fp32/infer\n\n{json.dumps(_KSERVE)}".encode()
    for kind, shape in (("INT64", [1]), ("INT32", [1, 1])):
        tensor = {"name": "label", "datatype": kind, "shape": shape, "data": [1]}
        for outputs in (
            {"parameters": {"binary_data_output": True}},
            {"outputs": [{"name": "images", "parameters": {"binary_data": True}}]},
        ):
            wanted = {"inputs": [*_INPUTS, tensor], **outputs}
            yield f"POST /v2/models/conditional/infer\n\n{json.dumps(wanted)}".encode()
    z = np.array(_Z, "<f4").tobytes()
    binary: dict[str, object] = {"name": "z", "datatype": "FP32", "shape": [1, len(_Z)]}
    binary["parameters"] = {"binary_data_size": len(z)}
    text = json.dumps({"inputs": [binary]})
    head = f"POST /v2/models/fp32/infer\nInference-Header-Content-Length: {len(text)}\n\n{text}"
    yield head.encode() + z


def run(data: bytes) -> None:
    loop, service, gate = _server()
    head, _, body = data.partition(b"\n\n")
    line, *lines = head.split(b"\n")
    method, _, address = line.decode("latin-1").partition(" ")
    path, _, query = address.partition("?")
    if method not in _METHODS:
        return
    pairs = (each.partition(b":") for each in lines)
    scope: dict[str, object] = {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [
            (b"host", b"localhost"),
            *((name.strip().lower(), value.strip()) for name, _, value in pairs),
        ],
        "state": {CLIENT: Client()},
    }
    sent: list[dict[str, object]] = []
    loop.run_until_complete(_ask(gate, scope, body, sent))
    status = sent[0]["status"]
    assert isinstance(status, int)
    assert status < 500 or status in (501, 503), sent
    if status >= 400 and method != "HEAD":
        assert json.loads(sent[1]["body"])["error"]  # type: ignore[arg-type]
    assert service.line.waiting == 0
    if status >= 400:
        raise GantoolError(str(status))


async def _ask(gate: Gate, scope: dict[str, object], body: bytes, sent: list[dict[str, object]]) -> None:
    messages: Iterator[dict[str, object]] = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, object]:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: dict[str, object]) -> None:
        sent.append(message)
        assert len(sent) < _MOST

    await gate(scope, receive, send)  # type: ignore[arg-type]


@cache
def _server() -> tuple[asyncio.AbstractEventLoop, Service, Gate]:
    """Return a running service with three tiny generators; `end` ends it."""
    graphs = [*(graph_of(name, folder()) for name in ("fp32", "conditional")), put("soft.onnx", soft_graph())]
    options = ServeOptions(
        tuple(map(str, graphs)), threads=1, max_seeds=9, max_batch=4, max_frames=5, max_size=100
    )
    loop = asyncio.new_event_loop()
    _OPEN.callback(loop.close)
    service = _OPEN.enter_context(opened(options))
    return loop, service, Gate(service)


def end() -> None:
    """End the service."""
    _OPEN.close()
    _server.cache_clear()


_OPEN = ExitStack()

"""Every door of `gantool serve` with random requests that schemathesis makes from its description: never a 500."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from helpers.serving import Served, graph_of, serving

schemathesis = pytest.importorskip("schemathesis")
pytest.importorskip("starlette")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a generator without classes and one with; small limits keep an answer quick."""
    folder = tmp_path_factory.mktemp("fuzz")
    graphs = [graph_of(name, folder) for name in ("fp32", "conditional")]
    limits = {"max_seeds": 9, "max_batch": 4, "max_frames": 5, "max_size": 100, "timeout": 60.0}
    with serving(*graphs, **limits) as server:
        yield server


def test_no_request_makes_an_error_of_the_server(served: Served) -> None:
    description = served.ask("/openapi.json").json
    asked = description["paths"]["/stream.mjpg"]["get"]["parameters"]
    next(each for each in asked if each["name"] == "frames")["required"] = True  # otherwise it never ends
    answered: Counter[int] = Counter()
    for result in schemathesis.openapi.from_dict(description).get_all_operations():
        for mode in schemathesis.GenerationMode:
            with suppress(Unsatisfiable):  # nothing can be wrong about a door without parameters
                _ask(result.ok(), mode, served, answered)
    assert answered[200] > 30
    assert answered[400] > 50
    assert served.ask("/images/1.png").status == 200
    assert served.service.line.waiting == 0


def _ask(operation: Any, mode: Any, served: Served, answered: Counter[int]) -> None:
    """Ask one door, with requests that fit its description or with others."""
    known = {"200", "404", *operation.definition.raw["responses"]}

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=10,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
    )
    def ask(case: Any) -> None:
        if case.path == "/stream.mjpg" and not str((case.query or {}).get("frames", "")).isdecimal():
            return
        answer = case.call(base_url=f"http://127.0.0.1:{served.port}", timeout=120)
        answered[answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code in (501, 503), case.as_curl_command()
        assert str(answer.status_code) in known, case.as_curl_command()
        if answer.status_code >= 400 and case.method != "HEAD":
            assert json.loads(answer.content)["error"], case.as_curl_command()

    ask()


def test_odd_requests(served: Served, tmp_path: Path) -> None:
    """Say what no client library says."""
    import socket

    for said in (
        b"GET /images/%00.png HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /images/..%2f..%2fetc%2fpasswd.png HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /images/\xff.png HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /images/%ff.png?trunc=%ff&%00=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://localhost/images/1.png HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /grid.png?seeds=" + b"0~" * 3000 + b"1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        bytes(range(256)),
    ):
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.settimeout(60)
            client.sendall(said)
            answer = client.recv(1 << 16)
            assert not answer.startswith(b"HTTP/1.1 5"), (said, answer)
            assert str(tmp_path.parent).encode() not in answer
    assert served.ask("/images/1.png").status == 200

"""`gantool serve` with more work than it can do, with clients that leave, and with an engine that fails."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from gantool.runtime.errors import GantoolError
from helpers.serving import Answer, Served, graph_of, serving

pytest.importorskip("starlette")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return fp32.onnx."""
    return graph_of("fp32", tmp_path_factory.mktemp("load"))


@contextmanager
def slow(graph: Path, seconds: float | threading.Event, **options: Any) -> Iterator[Served]:
    """Serve an engine that takes `seconds` for each batch, or waits for an event."""
    delay = (
        partial(seconds.wait, 60) if isinstance(seconds, threading.Event) else partial(time.sleep, seconds)
    )
    with serving(graph, **options) as served, pytest.MonkeyPatch.context() as patch:
        of = type(served.service.engine(None))
        own = of.images

        def images(engine: Any, wanted: Any) -> Any:
            delay()
            return own(engine, wanted)

        patch.setattr(of, "images", images)
        yield served


def at_once(ask: Callable[[int], Answer], count: int) -> list[Answer]:
    """Return the answers to requests 0 to count - 1, sent together."""
    got: dict[int, Answer] = {}

    def one(number: int) -> None:
        got[number] = ask(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [got[number] for number in range(count)]


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.005)


def test_over_the_queue_a_request_gets_503_at_once(graph: Path) -> None:
    with slow(graph, 0.05, max_queue=8, max_batch=4) as served:
        expected = served.ask("/images/1.png").body
        answers = at_once(lambda number: served.ask(f"/images/{number}.png"), 60)
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 8
        for answer in answers:
            if answer.status == 503:
                assert (answer.error, answer.headers["retry-after"]) == (
                    "the server is busy: come again",
                    "1",
                )
        assert served.service.metrics.rejected == statuses.count(503)
        assert served.ask("/images/1.png").body == expected
        assert served.service.line.waiting == 0


def test_a_full_queue_refuses_before_it_reads(graph: Path) -> None:
    go = threading.Event()
    go.set()
    with slow(graph, go, max_queue=1, max_batch=1) as served:
        tag = served.ask("/images/1.png").headers["etag"]
        go.clear()
        waiting = threading.Thread(target=served.ask, args=("/images/1.png",))
        waiting.start()
        until(lambda: served.service.line.waiting == 1)
        for path in ("/generate", "/v2/models/fp32/infer"):
            with socket.create_connection(("127.0.0.1", served.port)) as client:
                client.settimeout(10)
                client.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode()
                )
                assert client.recv(1000).startswith(b"HTTP/1.1 503 ")
        assert served.ask("/images/1.png", if_none_match=tag).status == 304  # that costs nothing
        assert served.service.line.waiting == 1
        go.set()
        waiting.join()


def test_over_the_connections_only_new_ones_are_refused(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.runtime.serve.run._CONNECTIONS", 3)
    with serving(graph) as served, ExitStack() as stack:
        here = [
            stack.enter_context(closing(HTTPConnection("127.0.0.1", served.port, timeout=30)))
            for _ in range(3)
        ]

        def statuses() -> list[int]:
            for connection in here:
                connection.request("GET", "/healthz")
            answers = [connection.getresponse() for connection in here]
            return [(answer.status, answer.read())[0] for answer in answers]

        assert statuses() == [200] * 3
        refused = served.ask("/healthz")
        assert refused.status == 503
        assert "connections" in refused.error
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        assert served.service.metrics.rejected == 1
        assert statuses() == [200] * 3
        here[0].close()
        until(lambda: served.ask("/images/1.png").status == 200)


def test_what_waits_together_is_made_together(graph: Path) -> None:
    with serving(graph, max_wait_ms=10_000, max_batch=6) as served:
        answers = at_once(lambda number: served.ask(f"/images/{number}.png"), 6)
        assert [answer.status for answer in answers] == [200] * 6
        text = served.ask("/metrics").body.decode()
        assert 'gantool_batch_images_sum{model="fp32"} 6' in text
        assert 'gantool_batch_images_count{model="fp32"} 1' in text


def test_the_work_of_a_client_that_left_is_dropped(graph: Path) -> None:
    with slow(graph, 0.5, max_batch=1) as served:
        line = served.service.line
        first = threading.Thread(target=served.ask, args=("/images/1.png",))
        first.start()
        until(lambda: line.waiting == 1)
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(b"GET /images/2.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: line.waiting == 2)
        until(lambda: line.waiting < 2)
        first.join()
        served.ask("/images/3.png")
        assert served.service.metrics.images["fp32"] == 2


def test_a_request_does_not_wait_for_ever(graph: Path) -> None:
    with slow(graph, 0.6, timeout=0.2) as served:
        answer = served.ask("/images/1.png")
        assert answer.status == 503
        assert answer.error == "the engine did not come to it in time: come again"
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(
                b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 9\r\n\r\n{"
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_reads_nothing_loses_its_place(graph: Path) -> None:
    with serving(graph, timeout=0.5) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(b"GET /stream.mjpg?fps=60&size=1024 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: served.service.streams == 1)
        until(lambda: served.service.streams == 0)


def test_an_answer_that_nobody_reads_is_dropped(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.runtime.serve.connection.LINGER_SECONDS", 0.2)
    with serving(graph, max_seeds=10_000, max_batch=256) as served, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", served.port))
        client.sendall(b"GET /grid.png?seeds=0-9999 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        until(lambda: bool(served.service.metrics.requests))
        time.sleep(1)
        got = bytearray()
        with suppress(ConnectionResetError):
            while part := client.recv(1 << 16):
                got += part
        length = int(got.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert length > 4_000_000
        assert len(got) < length


def test_one_request_that_fails_does_not_fail_the_others(
    graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(graph, max_wait_ms=10_000, max_batch=3) as served, pytest.MonkeyPatch.context() as patch:
        of = type(served.service.engine(None))
        own = of.images

        def images(engine: Any, wanted: Any) -> Any:
            if any(key[0] == 1 for key, _ in wanted):
                raise GantoolError("ONNX Runtime failed on /secret/g.onnx")
            return own(engine, wanted)

        patch.setattr(of, "images", images)
        answers = at_once(lambda number: served.ask(f"/images/{number}.png"), 3)
        assert [answer.status for answer in answers] == [200, 500, 200]
        assert answers[1].error == "the server failed; its log says how"
        assert "/secret/g.onnx" in caplog.text


def test_readiness_tells_of_an_engine_that_fails(graph: Path) -> None:
    with serving(graph) as served, pytest.MonkeyPatch.context() as patch:

        def images(*_: Any) -> Any:
            raise MemoryError

        patch.setattr(type(served.service.engine(None)), "images", images)
        assert served.ask("/images/1.png").status == 500
        assert served.ask("/readyz").status == served.ask("/v2/health/ready").status == 503
        assert served.ask("/healthz").status == 200
        patch.undo()
        assert served.ask("/readyz").status == 200, "only a request could make it ready, and none comes"
        assert served.ask("/images/1.png").status == 200


@pytest.mark.slow
def test_ten_times_the_load(graph: Path) -> None:
    """Five seconds of what `make load-serve` does for 60."""
    import subprocess

    script = Path(__file__).parents[2] / "benchmarks/serve_load.py"
    command = [sys.executable, str(script), str(graph), "--seconds", "5"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr

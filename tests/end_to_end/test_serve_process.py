"""`gantool serve` as a process: how it starts, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from conftest import run_gantool
from helpers.serving import graph_of, started

pytest.importorskip("starlette")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with g.onnx."""
    made = tmp_path_factory.mktemp("process")
    graph_of("fp32", made).rename(made / "g.onnx")
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_it_has_answered(folder: Path, number: signal.Signals) -> None:
    body = json.dumps({"seeds": "0-99"}).encode()
    with (
        started(folder, "--log-json") as (process, port),
        closing(HTTPConnection("127.0.0.1", port, timeout=60)) as asking,
        closing(HTTPConnection("127.0.0.1", port, timeout=60)) as watching,
    ):
        asking.putrequest("POST", "/generate")
        asking.putheader("Content-Type", "application/json")
        asking.putheader("Content-Length", str(len(body)))
        asking.endheaders(body[:5])
        watching.request("GET", "/stream.mjpg?fps=30")
        with watching.getresponse() as stream:
            process.send_signal(number)
            stream.read()  # it ends
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        asking.send(body[5:])
        with asking.getresponse() as answer:
            assert answer.status == 200
            assert len(answer.read()) > 100 * 512
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    assert {line["path"]: line["status"] for line in lines if "path" in line} == {
        "/stream.mjpg?fps=30": 200,
        "/generate": 200,
    }
    assert any("ending" in line.get("message", "") for line in lines)


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run_gantool("serve", "--port", port, cwd=folder)
    assert result.returncode == 1
    assert (
        f"--port {port} on 127.0.0.1 cannot be used (address already in use): give another one"
        in result.stderr
    )
    for flags, code, error in (
        (("nothing.onnx", "--port", "0"), 1, "nothing.onnx does not exist"),
        (("g.onnx", "g.onnx"), 2, "would both be the model g: give names, as in --engine g2=g.onnx"),
        (("-e", "a b=g.onnx"), 2, "'a b' is not a name: use letters, digits, _, . and -"),
        (
            ("--cors", "example.org"),
            2,
            "--cors example.org: write an origin, as in https://example.org, or *",
        ),
        (("--max-queue", "8"), 2, "--max-queue 8: a batch of --max-batch 32 images must fit into it"),
        (("--provider", "cuda", "--port", "0"), 4, "CUDAExecutionProvider"),
        (("--token", "", "--port", "0"), 2, "an argument is empty"),
    ):
        result = run_gantool("serve", *flags, cwd=folder)
        assert result.returncode == code
        assert error in result.stderr


def test_it_needs_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gantool.runtime.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.requests", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run_gantool("serve", "--port", "0", cwd=folder)
    assert result.returncode == 5
    assert "gantool serve needs " in result.stderr
    assert "[serve]" in result.stderr


def test_it_warns_where_everyone_may_use_it(folder: Path) -> None:
    command = [sys.executable, "-m", "gantool", "serve", "--port", "0", "--host", "0.0.0.0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert "may use it: set GANTOOL_TOKEN, or leave --host out" in errors

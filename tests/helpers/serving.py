"""A server of gantool in this process, on a free port of the loopback address, and a client for it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from gantool.export.packaging import bundle
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.serve.run import listening, opened, server
from gantool.runtime.serve.service import Service

GENERATORS = Path(__file__).parents[2] / "export/doctor/golden"  # tiny ones, with the images of seeds 0 to 9


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]  # by lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON value in the body."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error."""
        return str(self.json["error"])


@dataclass(frozen=True)
class Served:
    """A running server."""

    service: Service
    port: int

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Return the answer to one request; a header if_none_match is If-None-Match."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def post(self, path: str, value: Any, **headers: str) -> Answer:
        """Return the answer to a JSON value."""
        return self.ask(path, "POST", json.dumps(value).encode(), content_type="application/json", **headers)


def graph_of(name: str, folder: Path) -> Path:
    """Write the graph of one of the generators of `gantool doctor --selftest`."""
    path = folder / f"{name}.onnx"
    path.write_bytes(bundle.read(GENERATORS / f"{name}.tar").graph)
    return path


@contextmanager
def serving(*engines: Path | str, **options: Any) -> Iterator[Served]:
    """Serve engines while the block runs."""
    asked = ServeOptions(tuple(map(str, engines)), port=0, **options)
    with listening(asked) as listener, opened(asked) as service:
        runner = server(service)
        thread = threading.Thread(target=runner.run, args=([listener],))
        thread.start()
        try:
            while not runner.started:
                time.sleep(0.01)
            yield Served(service, listener.getsockname()[1])
        finally:
            runner.should_exit = True
            thread.join()


@contextmanager
def started(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `gantool serve --port 0 WORDS` in a process of its own, in `folder`; yield it and its port."""
    command = [sys.executable, "-m", "gantool", "serve", "--port", "0", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line.startswith("http://")
            yield process, int(line.rsplit(":", 1)[1].strip("/\n"))
        finally:
            process.kill()

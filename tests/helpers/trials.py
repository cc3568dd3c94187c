"""Try graphs in forks of one process that has loaded the libraries: to load them takes half a second each time.

A fork runs the module that gantool starts for a trial, with its arguments and input, and may crash as that one may.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import NoReturn

APART = "gantool.runtime.process.apart"


class Trials:
    """Stands in for the module `subprocess` in `APART`."""

    def __init__(self) -> None:
        self._lock = Lock()

    def run(self, command: list[str], **options: bytes | bool | None) -> subprocess.CompletedProcess[bytes]:
        """Run `command`, which starts `APART`, in a fork."""
        given = options.pop("input")
        assert options == {"capture_output": True, "check": False}
        arguments = command[command.index(APART) + 1 :]
        with TemporaryDirectory() as folder, self._lock:
            (Path(folder) / "in").write_bytes(given if isinstance(given, bytes) else b"")
            assert self._server.stdin
            assert self._server.stdout
            self._server.stdin.write(json.dumps({"folder": folder, "arguments": arguments}) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(command, code, (Path(folder) / "out").read_bytes())

    def close(self) -> None:
        """End the process that forks, if it was started."""
        if "_server" in vars(self):
            self._server.communicate()

    @cached_property
    def _server(self) -> subprocess.Popen[str]:
        """Return the process that forks; it ends with its stdin."""
        return subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def _serve() -> None:
    """Fork for each request, and answer with how the fork ended."""
    del sys.path[0]  # the folder of this file
    from gantool.runtime.backends import quiet, session  # noqa: F401

    quiet.import_onnxruntime()
    quiet.import_core()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _try(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _try(folder: str, arguments: list[str]) -> NoReturn:
    os.dup2(os.open(Path(folder) / "in", os.O_RDONLY), 0)
    os.dup2(os.open(Path(folder) / "out", os.O_WRONLY | os.O_CREAT), 1)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.argv[1:] = arguments
    code = 1
    try:
        runpy.run_module(APART, run_name="__main__")
        sys.stdout.flush()
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()

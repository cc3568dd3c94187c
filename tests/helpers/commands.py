"""Commands of gantool in this process: a started one costs a quarter of a second, and seconds with torch."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from gantool.__main__ import run

# For Ray: nothing goes over a network, and no token is written into the home folder.
RAY_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}


def needed(command: str) -> str:
    """Return the path of a command; skip the test without it, but fail in CI, where `make browser` installs it."""
    path = shutil.which(command)
    if path is None:
        message = f"there is no {command}: make browser installs what tests need"
        if os.environ.get("GANTOOL_CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def in_this_process(words: list[str], folder: Path, env: dict[str, str]) -> tuple[int, str, str]:
    """Run `gantool WORDS` in `folder`; return the exit code, stdout and stderr."""
    outs, errs = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(to, encoding="utf-8", write_through=True) for to in (outs, errs))
    path, where = list(sys.path), Path.cwd()
    os.chdir(folder)
    try:
        with patch.dict(os.environ, env), redirect_stdout(out), redirect_stderr(err):
            code = run(words)
    finally:
        os.chdir(where)
        sys.path[:] = path
    return code, outs.getvalue().decode(), errs.getvalue().decode()


def on_a_terminal(*words: object, folder: Path) -> tuple[int, str, str]:
    """Run `gantool WORDS` with a terminal for stderr; return the exit code, stdout and what the terminal got."""
    terminal, stderr = os.openpty()
    command = [sys.executable, "-m", "gantool", *map(str, words)]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    shown = b""
    with (
        open(terminal, "rb", buffering=0) as screen,  # noqa: PTH123
        subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        os.close(stderr)
        with suppress(OSError):  # how Linux tells that the other end was closed
            while part := screen.read(4096):
                shown += part
        out, _ = process.communicate()
    return process.returncode, out, shown.decode()

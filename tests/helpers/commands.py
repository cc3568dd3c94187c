"""Commands of gantool in this process: a started one costs a quarter of a second, and seconds with torch."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from gantool.__main__ import run


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

"""Run the scripts of examples/ as their README does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import Run

EXAMPLES = Path(__file__).parents[2] / "examples"


def ran(*command: str | Path, cwd: Path, check: bool = True, **env: str) -> Run:
    """Run a script of examples/, by its path there, with the `gantool` and `python` of this interpreter."""
    script, *arguments = map(str, command)
    words = [*([sys.executable] if script.endswith(".py") else []), str(EXAMPLES / script), *arguments]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        words, cwd=cwd, env={**os.environ, "PATH": path, **env}, capture_output=True, text=True, check=False
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result

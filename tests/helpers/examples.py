"""The scripts of examples/: run as their README does, or as modules."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

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


def script(path: str) -> ModuleType:
    """Return a script of examples/, by its path there, as a new module."""
    spec = spec_from_file_location(Path(path).stem, EXAMPLES / path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

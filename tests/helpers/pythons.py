"""Find the versions of Python that gantool supports on this machine, and make environments of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
_ITS_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_NO_TREE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


class FailedError(Exception):
    """A command ended otherwise than it should. The text says which, how, and what it printed."""


def run(*words: str | Path, cwd: Path, code: int = 0, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed. Raises FailedError if it does not exit with `code`."""
    environment = {**_NO_TREE, **(env or {})}
    result = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    printed = result.stdout + result.stderr
    if result.returncode != code:
        command = " ".join(map(str, words))
        raise FailedError(f"{command}\nexited with {result.returncode}, expected {code}:\n{printed}")
    return printed


def interpreter(version: str) -> Path | None:
    """Return an interpreter of a version such as "3.10", or None if this machine has none."""
    return next((path for path in _candidates(version) if _version_of(path) == version), None)


def _candidates(version: str) -> Iterator[Path]:
    """Yield where an interpreter may be: this one, on the PATH, of pyenv."""
    yield Path(sys.executable)
    if found := shutil.which(f"python{version}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"))


def _version_of(python: Path) -> str:
    """Return the version of an interpreter, "" if it does not run: pyenv's shims may not."""
    result = subprocess.run([python, "-c", _ITS_VERSION], capture_output=True, text=True, check=False)
    return result.stdout.strip()


def environment(python: Path, folder: Path) -> Path:
    """Make a virtual environment without pip, and return its folder of programs."""
    run(python, "-m", "venv", "--without-pip", folder, cwd=Path.cwd())
    return folder / "bin"


def install(programs: Path, wheel: Path, extra: str = "") -> None:
    """Install a wheel into an environment, with an extra such as "[cpu]", from the index that pip uses here."""
    name, version, *_ = wheel.name.split("-")
    into = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet")
    run(*into, "--find-links", wheel.parent, f"{name}{extra}=={version}", cwd=wheel.parent)


def has_index() -> bool:
    """Return whether pip finds packages here."""
    try:
        run(sys.executable, "-m", "pip", "index", "versions", "numpy", cwd=Path.cwd())
    except FailedError:
        return False
    return True

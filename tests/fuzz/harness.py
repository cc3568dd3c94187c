"""What fuzz targets share: finding them, running one input, a place for files, and the inputs that are kept."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from gantool.runtime.errors import GantoolError

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CORPUS = FOLDER / "corpus"  # inputs that once made a target fail
EARLIER = ROOT / "tests/earlier/0873d01"  # files that gantool wrote
GENERATORS = ROOT / "export/doctor/golden"  # bundles of tiny generators
MEMORY = Path("/dev/shm")  # a file system without a disk, on Linux

Mutate = Callable[[bytes, int, int], bytes]  # input, most bytes, seed -> another input


class Target(Protocol):
    """A module of `targets`."""

    def seeds(self) -> Iterable[bytes]:
        """Return inputs to begin with."""

    def run(self, data: bytes) -> None:
        """Read bytes as a file of a stranger. Raise GantoolError, or AssertionError for a broken promise."""


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem for path in (FOLDER / "targets").glob("*.py") if path.stem != "__init__")


def load(name: str) -> Target:
    """Import a target."""
    return cast("Target", import_module(f"fuzz.targets.{name}"))


def attempt(target: Target, data: bytes) -> bool:
    """Run one input, and return whether it was read.

    A GantoolError is an answer, any other error a finding, and so is a program that it starts.
    """
    _watch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _RUNNING.append(target)
        try:
            target.run(data)
        except GantoolError:
            return False
        finally:
            _RUNNING.clear()
    return True


@cache
def _watch() -> None:
    """Let Python call `_no_program` from now on; it has no way back."""
    sys.addaudithook(_no_program)


def _no_program(event: str, arguments: tuple[object, ...]) -> None:
    """Raise AssertionError if a program is started while an input runs."""
    if _RUNNING and event in _PROGRAMS:
        raise AssertionError(f"it starts a program: {arguments[:2]}")


_RUNNING: list[Target] = []  # while an input runs
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")


def kept(name: str) -> Iterator[Path]:
    """Yield the inputs that once made a target fail."""
    yield from sorted((CORPUS / name).glob("*"))


@cache
def folder() -> Path:
    """Return a folder of this process for files, in memory if possible."""
    logging.getLogger("gantool").setLevel(logging.CRITICAL)
    place = tempfile.TemporaryDirectory(prefix="gantool-fuzz-", dir=MEMORY if MEMORY.is_dir() else None)
    _OPEN.append(place)  # removed when the process ends
    return Path(place.name)


_OPEN: list[tempfile.TemporaryDirectory[str]] = []


def put(name: str, data: bytes) -> Path:
    """Write a file into the folder of this process, and return its path."""
    path = folder() / name
    path.write_bytes(data)
    return path

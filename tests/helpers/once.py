"""What tests share is made once, for all processes that run them together."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = "GANTOOL_TESTS_SHARED"  # the folder of all processes


def share(factory: pytest.TempPathFactory, config: pytest.Config) -> Path:
    """Return the folder that the processes of these tests share, and know it from now on."""
    base = factory.getbasetemp()
    root = (
        base.parent if hasattr(config, "workerinput") else base
    )  # a worker of xdist has one beside the others
    os.environ[SHARED] = str(root)
    return root


def once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the file or folder that `make` has written, in this process or in another."""
    path = Path(os.environ[SHARED]) / name
    half = path.with_name(f"half-{name}")
    with path.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            shutil.rmtree(half, ignore_errors=True)  # of one that failed
            make(half)
            half.rename(path)
    return path

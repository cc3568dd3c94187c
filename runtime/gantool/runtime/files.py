"""Write a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_native_id


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there if the block succeeds, remove it if not.

    The folder is made where it is missing. The temporary name keeps the suffix, by which libraries choose a
    format. A killed run leaves at most a hidden `.NAME.PID-THREAD.part` behind, never half of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(_part(path.stem, path.suffix))
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(folder: str, name: str, data: bytes) -> None:
    """Write a file whole or not at all, in a folder that is there: `atomic` with less around it, for many files."""
    part = os.path.join(folder, _part(*os.path.splitext(name)))  # noqa: PTH118, PTH122 (a Path takes longer)
    try:
        with open(part, "wb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(part, os.path.join(folder, name))  # noqa: PTH105, PTH118
    except BaseException:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise


def _part(stem: str, suffix: str) -> str:
    return f".{stem}.{os.getpid()}-{get_native_id()}.part{suffix}"

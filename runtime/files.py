"""Write a file whole or not at all. The next run that writes to a folder removes what a killed run left there."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import get_native_id

_OURS = re.compile(r"\..*\.(\d+)-\d+@([0-9a-f]+)\.part(?:\.\w+)?|\.gantool-(\d+)@([0-9a-f]+)-.*", re.DOTALL)
_ABANDONED = 24 * 3600.0  # seconds without a change
_unfinished: set[str] = set()  # paths of this process
_swept: set[str] = set()  # folders


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there if the block succeeds, remove it if not.

    Create the folder if it is missing. The temporary name keeps the suffix, from which libraries choose a format. A
    killed run leaves at most a hidden `.NAME.PID-THREAD@HOST.part` behind, never half of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _begin(str(path.parent), path.stem, path.suffix)
    try:
        yield Path(part)
        os.replace(part, path)  # noqa: PTH105
    except OSError as error:
        _name(error, part, str(path))
        raise
    finally:
        Path(part).unlink(missing_ok=True)
        _unfinished.discard(part)


def write_whole(folder: str, name: str, data: bytes) -> None:
    """Write a file whole or not at all, into an existing folder: a faster `atomic`, for many files."""
    part = _begin(folder, *os.path.splitext(name))  # noqa: PTH122 (a Path takes longer)
    try:
        with open(part, "wb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(part, os.path.join(folder, name))  # noqa: PTH105, PTH118
    except BaseException as error:
        if isinstance(error, OSError):
            _name(error, part, os.path.join(folder, name))  # noqa: PTH118
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise
    finally:
        _unfinished.discard(part)


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """Yield a new hidden folder in the folder `beside`, which is created if missing; remove it at the end."""
    import tempfile  # here, so that every command starts faster

    beside.mkdir(parents=True, exist_ok=True)
    _sweep(str(beside))
    with tempfile.TemporaryDirectory(prefix=f".gantool-{os.getpid()}@{_host()}-", dir=beside) as folder:
        _unfinished.add(folder)
        try:
            yield Path(folder)
        finally:
            _unfinished.discard(folder)


def remove_unfinished() -> None:
    """Remove the unfinished files of this process, just before it ends with os._exit."""
    for path in tuple(_unfinished):
        _remove(path)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Add `path` to an OSError that has no file name, as errors of writing to a file do not."""
    try:
        yield
    except OSError as error:
        _name(error, "", str(path))
        raise


def _name(error: OSError, part: str, path: str) -> None:
    """Set `path` as the file name of an error that has none, or has that of the temporary file."""
    if error.errno is not None and error.filename in (None, part):
        error.filename, error.filename2 = path, None


def _begin(folder: str, stem: str, suffix: str) -> str:
    if os.path.abspath(folder) not in _swept:  # noqa: PTH100
        _sweep(folder)
    part = os.path.join(folder, f".{stem}.{os.getpid()}-{get_native_id()}@{_host()}.part{suffix}")  # noqa: PTH118
    _unfinished.add(part)
    return part


def _sweep(folder: str) -> None:
    """Remove the unfinished files of processes that have ended; once per folder.

    A process of another machine or container cannot be checked: its files are removed after a day without a change.
    """
    _swept.add(os.path.abspath(folder))  # noqa: PTH100
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == "." and (match := _OURS.fullmatch(entry.name)):
                process, host = int(match[1] or match[3]), match[2] or match[4]
                if host == _host():
                    abandoned = not _in_use(process, entry.name)
                else:
                    abandoned = time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
                if abandoned:
                    _remove(entry.path)


def _in_use(process: int, name: str) -> bool:
    if process == os.getpid():  # in a container, every run may have the same process number
        return any(os.path.basename(path) == name for path in tuple(_unfinished))  # noqa: PTH119
    if sys.platform == "win32":  # os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of another user
        return True
    return True


def _remove(path: str) -> None:
    with suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)  # noqa: PTH108


@cache
def _host() -> str:
    """Return an ID of the process-number space: this boot of the machine, and this container."""
    names = [platform.node()]
    with suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        names.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115
    return f"{zlib.crc32(' '.join(names).encode(errors='replace')):08x}"

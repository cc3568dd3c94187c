"""Where images come from: a folder, a zip, or a data set known by name.

Each kind becomes a `Source`, which the cache asks only what it is, and a `Listing` once it is opened, which
gives the images one by one, in an order that is always the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.train.decode import SUFFIXES, open_image
from gantool.train.fashion import CLASSES as FASHION_CLASSES
from gantool.train.fashion import NAME as FASHION_MNIST
from gantool.train.fashion import find_fashion_mnist, find_labels, read_fashion_mnist, read_labels
from gantool.train.labels import DATASET_JSON, Labels, labels_of

MAX_FILE_BYTES = 256 << 20  # of one image, unpacked


@dataclass(frozen=True)
class Listing:
    """An opened source."""

    names: list[str]  # of the candidates, in order
    read: Callable[[int], Image.Image]  # by index, from any thread; raises anything for a broken file
    others: int = 0  # files that are not even candidates
    labels: Callable[[], Labels | None] = lambda: None  # of the candidates, in order; raises if damaged
    tiny: bool = False  # images so small that threads would only wait for each other


@dataclass(frozen=True)
class Source:
    """A source that was found but not opened."""

    name: str  # short and safe in a file name
    identity: str  # SHA-256 over what the images depend on: paths, sizes and times of change
    open: Callable[[], AbstractContextManager[Listing]]


def find_source(source: str, log: Callable[[str], None]) -> Source:
    """Find `source`: "fashion-mnist", a folder or a zip file. Raises GantoolError if it is none of these."""
    if source == FASHION_MNIST:
        path = find_fashion_mnist(log)
        labels = find_labels(path)
        details = [_stamp(path), _stamp(labels) if labels else None]
        return Source(FASHION_MNIST, _identity(path, details), lambda: _open_fashion_mnist(path, labels))
    path = Path(source)
    expected = f"give a folder of images, a .zip of one, or the known name {FASHION_MNIST}"
    if not path.exists():
        raise GantoolError(f"{source}: there is no such file or folder; {expected}")
    path = Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would give the name that a link points to)
    if path.is_dir():
        files, others = _walk(path)
        return Source(
            _safe(path.name),
            _identity(path, [files, _stamp(path / DATASET_JSON)]),
            lambda: _open_folder(path, list(files), others),
        )
    if not zipfile.is_zipfile(path):
        raise GantoolError(f"{source} is neither a folder nor a zip file; {expected}")
    return Source(_safe(path.stem), _identity(path, _stamp(path)), lambda: _open_zip(path))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)[:64].strip("-.") or "images"


def _identity(path: Path, details: Any) -> str:
    return hashlib.sha256(json.dumps([str(path.absolute()), details]).encode()).hexdigest()


def _stamp(path: Path | str) -> tuple[int, int]:
    """Return size and time of change, zeros for what is not there (a broken link)."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a Path for each of a million files is slow)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _wanted(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not _hidden(name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _walk(folder: Path) -> tuple[dict[str, tuple[int, int]], int]:
    """Return the images below `folder`, name to stamp in order of name, and the number of other files."""
    names: list[str] = []  # relative, with / on every system
    others = 0
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:  # listed, so that it is named among what cannot be read
        names.append(Path(os.path.relpath(error.filename, folder)).as_posix())

    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # links can go round in circles: each real folder counts once
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))
        wanted = [name for name in files if _wanted(name)]
        others += len(files) - len(wanted)
        prefix = Path(os.path.relpath(parent, folder)).as_posix()
        names += wanted if prefix == "." else [f"{prefix}/{name}" for name in wanted]
    return {name: _stamp(f"{folder}/{name}") for name in sorted(names)}, others


@contextmanager
def _open_folder(folder: Path, names: list[str], others: int) -> Iterator[Listing]:
    def read(index: int) -> Image.Image:
        path = folder / names[index]
        if not path.is_file():
            raise ValueError("it is no file that can be read")
        _check_size(path.stat().st_size)
        return open_image(path.read_bytes())

    def labels() -> Labels | None:
        listed = folder / DATASET_JSON
        if not listed.is_file():
            return labels_of(names, None)
        _check_labels(listed.stat().st_size)
        return labels_of(names, listed.read_bytes())

    yield Listing(names, read, others, labels)


@contextmanager
def _open_zip(path: Path) -> Iterator[Listing]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise GantoolError(f"{path} cannot be read as a zip file ({error}): pack it again") from error
    with archive:
        files = [member for member in archive.infolist() if not member.is_dir()]
        members = sorted(filter(_candidate, files), key=lambda member: member.filename)
        turn = threading.Lock()  # a ZipFile counts its readers without one

        def read(index: int) -> Image.Image:
            member = members[index]
            if _outside(member.filename):
                raise ValueError("its name points outside of the zip")
            if member.flag_bits & 1:
                raise ValueError("it is encrypted")
            _check_size(member.file_size)
            with turn, archive.open(member) as file:
                # never more than was declared; a member that holds more then fails its checksum
                data = file.read(member.file_size)
            return open_image(data)

        names = [member.filename for member in members]
        listed = next((each for each in files if each.filename == DATASET_JSON), None)

        def labels() -> Labels | None:
            if listed is None:
                return labels_of(names, None)
            _check_labels(listed.file_size)
            with turn:
                return labels_of(names, archive.read(listed))

        yield Listing(names, read, len(files) - len(members), labels)


def _candidate(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.split("/")
    # one that points outside is listed, so that it is named among what was skipped
    return _wanted(parts[-1]) and (_outside(member.filename) or not any(map(_hidden, parts)))


def _outside(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return ".." in parts or parts[0] == "" or parts[0].endswith(":")


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{size:,} bytes are over the limit of {MAX_FILE_BYTES:,}")


def _check_labels(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise GantoolError(
            f"{DATASET_JSON} has {size:,} bytes, over the limit of {MAX_FILE_BYTES:,}: leave it out"
        )


@contextmanager
def _open_fashion_mnist(path: Path, labels_path: Path | None) -> Iterator[Listing]:
    images = read_fashion_mnist(path)  # [N, rows, columns]
    names = [f"image {index}" for index in range(len(images))]

    def labels() -> Labels | None:
        return None if labels_path is None else Labels(read_labels(labels_path, len(images)), FASHION_CLASSES)

    yield Listing(names, lambda index: Image.fromarray(images[index]), labels=labels, tiny=True)

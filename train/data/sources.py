"""Sources of images: a folder, a zip, the tars of a WebDataset, an array, or the data set fashion-mnist.

`find_source` returns a `Source`, whose identity is the key of the cache. Opening it returns a `Listing`, which
reads the images one by one, always in the same order.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.train.data.archives import open_tars, open_zip
from gantool.train.data.arrays import labels_beside, open_array
from gantool.train.data.decode import open_image
from gantool.train.data.fashion_mnist import CLASSES as FASHION_CLASSES
from gantool.train.data.fashion_mnist import NAME as FASHION_MNIST
from gantool.train.data.fashion_mnist import find_fashion_mnist, find_labels, read_fashion_mnist, read_labels
from gantool.train.data.labels import DATASET_JSON, Labels, labels_of
from gantool.train.data.listing import (
    EXPECTED,
    MIN_IMAGES,
    Listing,
    check_size,
    hidden,
    kind,
    nameless,
    read_labels_file,
    wanted,
)
from gantool.train.data.sniff import START, looks_like_image, what_else

CONTAINERS = (".zip", ".tar", ".npy", ".npz")  # suffixes of files with images, as opposed to engines


_SHEET = re.compile(r"grid(-\d+of\d+)?\.png")  # of gantool generate --grid, beside its images
_GENERATED = re.compile(r"(seed\d|z\d{6})")


@dataclass(frozen=True)
class Source:
    """A source that was found but not opened."""

    name: str  # short and safe in a file name
    identity: str  # SHA-256 of the paths, sizes and modification times of its files
    open: Callable[[], AbstractContextManager[Listing]]
    given: str  # the path as the user gave it


def find_source(source: str) -> Source:
    """Find a source, one of those in EXPECTED. Raises GantoolError if it is none of them."""
    if source == FASHION_MNIST:
        path = find_fashion_mnist()
        labels = find_labels(path)
        details = [_stamp(path), _stamp(labels) if labels else None]
        return Source(
            FASHION_MNIST, _identity(path, details), lambda: _open_fashion_mnist(path, labels), source
        )
    path = Path(source)
    if not path.exists():
        raise GantoolError(f"{source}: there is no such file or folder; give {EXPECTED}")
    path = Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would follow links, which changes the name)
    if path.is_dir():
        return _find_folder(path, source)
    opener = _opener(source, path)
    identity = _identity(path, _stamp(path))
    if opener is open_array and (listed := labels_beside(path)).is_file():
        identity = _identity(path, [_stamp(path), _stamp(listed)])
    return Source(_safe(path.stem), identity, lambda: opener(path), source)


def _opener(source: str, path: Path) -> Callable[[Path], AbstractContextManager[Listing]]:
    """Return the function that opens a file, by its bytes. Raises GantoolError if it has no set of images."""
    with path.open("rb") as file:
        start = file.read(START)
    if start.startswith(b"\x93NUMPY"):
        return open_array
    if zipfile.is_zipfile(path):
        return open_array if path.suffix.lower() == ".npz" else open_zip
    if start[257:262] == b"ustar" or (path.suffix.lower() == ".tar" and len(start) == START and any(start)):
        return _open_tar
    if start.startswith(b"PK\x03\x04"):
        raise GantoolError(f"{source} is a zip that is cut off: copy or download it again")
    if what := what_else(start):
        raise GantoolError(f"{source} {what}")
    if looks_like_image(start):
        raise GantoolError(f"{source} is a single image: give the folder that it lies in")
    raise GantoolError(f"{source} is not a folder, and not a file that is read: give {EXPECTED}")


def _open_tar(path: Path) -> AbstractContextManager[Listing]:
    return open_tars(path.parent, [path.name])


def _find_folder(path: Path, given: str) -> Source:
    found = _walk(path)
    files, others, tars = found.images, found.others, found.tars
    # Shards of a WebDataset may have a few contact sheets beside them. Beside many images, tars are their
    # originals.
    if tars and (len(files) < MIN_IMAGES or len(files) <= len(tars)):
        others.update(map(kind, files))
        return Source(
            _safe(path.name),
            _identity(path, [tars, "tar"]),
            lambda: open_tars(path, list(tars), others),
            given,
        )
    others.update({".tar files": len(tars)} if tars else {})
    return Source(
        _safe(path.name),
        _identity(path, [files, _stamp(path / DATASET_JSON)]),
        lambda: _open_folder(path, found, given),
        given,
    )


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)[:64].strip("-.") or "images"


def _identity(path: Path, details: Any) -> str:
    return hashlib.sha256(json.dumps([str(path.absolute()), details]).encode()).hexdigest()


Stamp = tuple[int, int]


def _stamp(path: Path | str) -> Stamp:
    """Return size and modification time; zeros for a file that does not exist (a broken link)."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a Path for each of a million files is slow)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class _Found:
    """The files below a folder."""

    images: dict[str, Stamp]  # by name, sorted
    tars: dict[str, Stamp]
    others: Counter[str]  # number of other files by kind
    closed: dict[str, str]  # folder -> why it cannot be read; such a folder is also in `images`


def _walk(folder: Path) -> _Found:
    """Find the files below `folder`.

    Links are followed, but each real folder is visited once, so that links cannot form a loop. A folder that cannot
    be read is listed as an image, so that it is reported with the unreadable files.
    """
    names: list[str] = []  # relative, with / on every system
    tars: list[str] = []
    others: Counter[str] = Counter()
    closed: dict[str, str] = {}
    seen: set[tuple[int, int]] = set()
    waiting = [""]  # prefixes; a stack, not recursion, since folders may be nested thousands of levels deep
    while waiting:
        prefix = waiting.pop()
        place = f"{folder}/{prefix}"
        try:
            status = os.stat(place)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                found = sorted((entry.name, _is_folder(entry)) for entry in entries)
        except OSError as error:
            closed[place] = f"the folder cannot be read: {error.strerror}"
            names.append(place)  # the absolute path, which differs from the name of any image
            continue
        waiting += [
            f"{prefix}{name}/" for name, is_folder in reversed(found) if is_folder and not hidden(name)
        ]
        for name in (name for name, is_folder in found if not is_folder):
            full = f"{prefix}{name}"
            if wanted(name) or (nameless(name) and _starts_as_image(f"{place}{name}")):
                names.append(full)
            elif name.lower().endswith(".tar") and not hidden(name):
                tars.append(full)
            elif not hidden(name) and full != DATASET_JSON:
                others[kind(name)] += 1
    sheets = [name for name in names if _SHEET.fullmatch(name)]
    if sheets and any(_GENERATED.match(name.rpartition("/")[2]) for name in names):
        names = [name for name in names if name not in sheets]
        others["sheet files"] += len(sheets)
    stamps = {name: _stamp(f"{folder}/{name}") for name in sorted(names)}
    return _Found(stamps, {name: _stamp(f"{folder}/{name}") for name in sorted(tars)}, others, closed)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _starts_as_image(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  (opening a pipe would block)
            return False
        with open(path, "rb") as file:  # noqa: PTH123
            return looks_like_image(file.read(12))
    except OSError:
        return False


@contextmanager
def _open_folder(folder: Path, found: _Found, given: str) -> Iterator[Listing]:
    names = list(found.images)

    def read(index: int) -> Image.Image:
        if names[index] in found.closed:
            raise ValueError(found.closed[names[index]])
        path = folder / names[index]
        if not path.is_file():
            raise ValueError("it is not a file that can be read")
        check_size(path.stat().st_size)
        return open_image(path.read_bytes())

    def labels() -> Labels | None:
        listed = folder / DATASET_JSON
        if not listed.is_file():
            return labels_of(names, folder=given)
        text = read_labels_file(str(listed), listed.stat().st_size, listed.read_bytes)
        return labels_of(names, text, str(listed))

    yield Listing(names, read, found.others, labels)


@contextmanager
def _open_fashion_mnist(path: Path, labels_path: Path | None) -> Iterator[Listing]:
    images = read_fashion_mnist(path)  # [N, rows, columns]
    names = [f"image {index}" for index in range(len(images))]

    def labels() -> Labels | None:
        return None if labels_path is None else Labels(read_labels(labels_path, len(images)), FASHION_CLASSES)

    yield Listing(names, lambda index: Image.fromarray(images[index]), labels=labels, tiny=True)

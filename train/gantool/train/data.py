"""Training images: decoded once, kept in the cache as one array, and mapped into memory from there."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gantool.runtime.cache import cache_dir
from gantool.runtime.cpus import cores
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.train.decode import FORMATS, SUFFIXES, fit, printable
from gantool.train.labels import Labels
from gantool.train.sources import Listing, Source, find_source

MIN_IMAGES = 16  # fewer make no batch

_VERSION = 3  # of what is cached: raise it when the same file would be decoded to other pixels
_HEADER_BYTES = 128
_MAX_THREADS = 8  # each holds one decoded image of any size
_NAMED = 10  # of the files that were skipped, in the log; all of them are in ImageData
_PROGRESS_SECONDS = 3.0


@dataclass(frozen=True)
class ImageData:
    """Images to train on."""

    images: NDArray[np.uint8]  # [N, H, W, C], memory-mapped and read-only
    name: str  # short, safe in a file name: "fashion-mnist", or the stem of the folder or zip
    skipped: tuple[str, ...]  # "path: reason" for each file that could not be read
    labels: Labels | None = None  # of the images, where folders, a dataset.json or the data set give them


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def load_images(
    source: str, size: int, channels: int | None = None, *, log: Callable[[str], None] = _to_stderr
) -> ImageData:
    """Return the images of `source` as uint8 [N, size, size, C], in the order of their names.

    source:   "fashion-mnist" (always the data set; a folder of that name is ./fashion-mnist), a folder or a
              zip with PNG, JPEG, WebP, GIF (first frame) or BMP files at any depth
    channels: 1 or 3; None is 1 if every readable image is grey, else 3

    Each image is turned upright by its EXIF orientation, laid over white where it is transparent, cropped to
    the square in its middle and resized with Lanczos. The first call decodes into `cache_dir()`; later ones
    map that file until the source changes. What cannot be read is logged and skipped.

    Raises GantoolError if the source is not there, has fewer than MIN_IMAGES readable images, or the cache
    cannot be written; UsageError for another size or number of channels.
    """
    if size < 1 or channels not in (None, 1, 3):
        raise UsageError(f"images of {size} x {size} pixels and {channels} channels: use 1 or 3 channels")
    found = find_source(source, log)
    images, skipped, labels = _cached(found, size, channels) or _decode(found, source, size, channels, log)
    for line in skipped[:_NAMED]:
        log(f"skipped {line}")
    if len(skipped) > _NAMED:
        log(f"... and {len(skipped) - _NAMED:,} more")
    return ImageData(images, found.name, skipped, labels)


_Loaded = tuple[NDArray[np.uint8], tuple[str, ...], Labels | None]  # images [N, H, W, C], skipped, labels


def _cache_path(source: Source, size: int, channels: int) -> Path:
    key = hashlib.sha256(f"{_VERSION} {source.identity} {size} {channels}".encode()).hexdigest()
    return cache_dir() / "images" / f"{key[:32]}.npy"


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the start of a .npy file (format 1.0) of uint8, of one length for any shape."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).ljust(_HEADER_BYTES - 11) + "\n"
    return np.lib.format.magic(1, 0) + struct.pack("<H", len(text)) + text.encode()


def _cached(source: Source, size: int, channels: int | None) -> _Loaded | None:
    """Return what an earlier call decoded, or None if it did not, or if the files are damaged."""
    for candidate in (1, 3) if channels is None else (channels,):
        path = _cache_path(source, size, candidate)
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            shape = (int(note["count"]), size, size, candidate)
            with path.open("rb") as file:
                whole = file.read(_HEADER_BYTES) == _npy_header(shape)
            whole = whole and path.stat().st_size == _HEADER_BYTES + int(np.prod(shape, dtype=np.int64))
            # channels that someone asked for need not be those that the images have
            if whole and (note["auto"] or channels is not None):
                labels = note["labels"] and Labels(np.array(note["labels"], np.int64), tuple(note["classes"]))
                return np.load(path, mmap_mode="r"), tuple(map(str, note["skipped"])), labels
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


class ColourError(Exception):
    """An image of colour was found where all were taken to be grey."""


def _decode(
    found: Source, source: str, size: int, channels: int | None, log: Callable[[str], None]
) -> _Loaded:
    if channels is not None:
        return _decode_to(found, source, size, channels, False, log)
    try:
        return _decode_to(found, source, size, 1, True, log)
    except ColourError:  # mostly at the first image; one that can be read settles it
        return _decode_to(found, source, size, 3, True, log)


def _decode_to(
    found: Source, source: str, size: int, channels: int, auto: bool, log: Callable[[str], None]
) -> _Loaded:
    path = _cache_path(found, size, channels)
    try:
        with found.open() as listing, atomic(path) as part:
            skipped = _write(listing, part, size, None if auto and channels == 1 else channels, log)
            count = len(listing.names) - len(skipped)
            labels = _labels(listing, skipped, log)
            if count < MIN_IMAGES:
                raise GantoolError(_too_few(source, listing, count, list(skipped.values())))
            note = {
                "source": source,
                "count": count,
                "auto": auto,
                "skipped": list(skipped.values()),
                "labels": labels and labels.values.tolist(),
                "classes": labels and labels.classes,
            }
            with atomic(path.with_suffix(".json")) as note_part:
                note_part.write_text(json.dumps(note) + "\n", encoding="utf-8")
    except OSError as error:
        raise GantoolError(
            f"the decoded images cannot be kept in {path.parent} ({error}): make room there, or set "
            "GANTOOL_CACHE to another folder"
        ) from error
    log(f"decoded {count:,} images, kept in {path}")
    return np.load(path, mmap_mode="r"), tuple(skipped.values()), labels


def _labels(listing: Listing, skipped: dict[int, str], log: Callable[[str], None]) -> Labels | None:
    """Return the labels of the images that were read; None, and a line in the log, where they are damaged."""
    try:
        labels = listing.labels()
    except GantoolError as error:
        log(f"going on without labels: {error}")
        return None
    return labels and replace(labels, values=np.delete(labels.values, list(skipped)))


def _write(
    listing: Listing, path: Path, size: int, channels: int | None, log: Callable[[str], None]
) -> dict[int, str]:
    """Write the readable images as one .npy; return "path: reason" for the others, by their index.

    Row by row behind a header that is filled in at the end, when their number is known. Without a number of
    channels all must be grey: raises ColourError at the first one that is not.
    """
    skipped: dict[int, str] = {}
    total = len(listing.names)
    due = time.monotonic() + _PROGRESS_SECONDS
    with path.open("wb") as file, closing(decoded(listing, size, channels)) as results:
        file.write(bytes(_HEADER_BYTES))
        for index, result in enumerate(results):
            if isinstance(result, str):
                skipped[index] = f"{printable(listing.names[index])}: {result}"
            elif channels is None and result.shape[2] == 3:
                raise ColourError
            else:
                file.write(result.tobytes())
            if time.monotonic() > due:
                log(f"decoded {index + 1:,} of {total:,} images")
                due = time.monotonic() + _PROGRESS_SECONDS
        file.seek(0)
        file.write(_npy_header((total - len(skipped), size, size, channels or 1)))
    return skipped


def decoded(
    listing: Listing, size: int, channels: int | None
) -> Generator[NDArray[np.uint8] | str, None, None]:
    """Give each image of the listing, uint8 [size, size, C], or the reason why it cannot be read."""

    def one(index: int) -> NDArray[np.uint8] | str:
        try:
            return fit(listing.read(index), size, channels)
        except Exception as error:  # a damaged file can bring any error out of a decoder
            return _reason(error)

    if listing.tiny:
        yield from map(one, range(len(listing.names)))
        return
    Image.init()  # not from two threads at once: the second would find formats missing
    threads = min(_MAX_THREADS, cores())
    # What Pillow warns of is either nothing to the pixels or checked in decode.py.
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        pending: deque[Future[NDArray[np.uint8] | str]] = deque()
        try:
            for index in range(len(listing.names)):
                pending.append(pool.submit(one, index))
                if len(pending) == 4 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its message is an address in memory
        return f"it is no {', '.join(FORMATS)} file, or a damaged one"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(text)[:200] or type(error).__name__


def _too_few(source: str, listing: Listing, count: int, skipped: list[str]) -> str:
    kinds = ", ".join(SUFFIXES)
    if not listing.names:
        others = f"; it has {listing.others:,} files of other kinds" if listing.others else ""
        return f"{source} holds no images ({kinds}){others}: give another folder"
    why = f"; {len(skipped):,} could not be read, such as {'; '.join(skipped[:3])}" if skipped else ""
    return (
        f"{source} holds {count:,} readable images, at least {MIN_IMAGES} are needed{why}: "
        f"add images ({kinds}) or give another folder"
    )

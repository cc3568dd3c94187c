"""Training images: decode them once, keep them in the cache as one array, and map it into memory."""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import time
import warnings
from collections import Counter
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gantool.models.config import Size
from gantool.runtime.cache import cache_dir
from gantool.runtime.colours import colour
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.outputs.images import eight_bits
from gantool.runtime.process.cpus import cores
from gantool.runtime.process.pool import ordered_map
from gantool.runtime.process.terminal import message_of
from gantool.runtime.progress import task
from gantool.train.data.channels import OtherChannelsError, attempts, check_channels
from gantool.train.data.decode import KINDS, Fitted, Into, fit
from gantool.train.data.facts import Facts, Tally, facts_from_json
from gantool.train.data.fitting import Fit
from gantool.train.data.labels import Labels
from gantool.train.data.listing import MIN_IMAGES, Listing, instead, no_images, shown, shown_others
from gantool.train.data.sources import Source, find_source
from gantool.train.notes import log_notes

_VERSION = 6  # of the cache: raise it when the same file decodes to other pixels
_HEADER_BYTES = 128
_MAX_THREADS = 8  # each holds one decoded image of any size
_NAMED = 10  # skipped files that are logged; ImageData has all
_PROGRESS_SECONDS = 10.0  # between log lines; a terminal also has a bar

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageData:
    """Images to train on."""

    images: NDArray[Any]  # [N, H, W, C], memory-mapped and read-only; uint8, or uint16 if 16 bits are kept
    name: str  # short, safe in a file name: "fashion-mnist", or the stem of the folder or zip
    skipped: tuple[str, ...]  # "path: reason" for each file that could not be read
    labels: Labels | None = None  # from folders, a dataset.json or the data set
    facts: Facts | None = None  # statistics from decoding

    @property
    def in_eight_bits(self) -> ImageData:
        """The same data with images of uint8, for comparisons."""
        return replace(self, images=eight_bits(self.images))


def load_images(
    source: str | Source,
    size: Size,
    channels: int | None = None,
    background: str | None = None,
    fit: Fit = "crop",
    levels: str | None = None,
    bits: int = 8,
) -> ImageData:
    """Return the images of `source` as uint8 [N, H, W, C] of a size, in the order of their names.

    source:     "fashion-mnist" (always the data set; a folder of that name is ./fashion-mnist), a folder, a zip or
                tars with PNG, JPEG, WebP, GIF (first frame), BMP or TIFF (first page) files at any depth, an .npy
                or .npz of uint8 [N, H, W, C], or a Source of `find_source`
    channels:   1, 3 or 4 (straight RGBA, with colour 0 where alpha is 0); None is 4 if over half of the images are
                transparent and no background is given, else 1 if every readable image is grey, else 3
    background: colour behind transparent images: white, black or #rrggbb; None is white with 1 and 3 channels
    fit:        crop images of another aspect ratio to the middle, pad them with the background, or stretch them
    levels:     of files of 16 bits, that become black and white: LOW-HIGH, or auto for those of the set; None: by
                the number of bits that the set uses with 8 bits, 0-65535 with 16
    bits:       8, or 16 for uint16 [N, H, W, 1] of grey images

    Each image is rotated by its EXIF orientation, blended with the background if it is transparent, made to fit and
    resized with Lanczos. Images of 16 bits are scaled by the number of bits that the set uses. The
    first call decodes into `cache_dir()`; later calls map that file until the source changes. Unreadable files are
    logged and skipped; notes on the images are logged too.

    Raises GantoolError if the source is missing, has fewer than MIN_IMAGES readable images, or if the cache cannot
    be written; UsageError for another size or number of channels.
    """
    if min(size) < 1 or channels not in (None, 1, 3, 4):
        raise UsageError(f"images of {size} pixels and {channels} channels: use 1, 3 or 4 channels")
    if background is not None:
        colour(background)
    found = find_source(source) if isinstance(source, str) else source
    into = Into(size, channels, background, fit=fit, kept_bits=bits, levels=levels)
    images, skipped, labels, unlabelled, facts = _cached(found, into) or _decode(found, into)
    if unlabelled:
        _log.warning("going on without labels: %s", unlabelled)
    for line in skipped[:_NAMED]:
        _log.warning("skipped %s", line)
    if len(skipped) > _NAMED:
        _log.warning("... and %s more", f"{len(skipped) - _NAMED:,}")
    log_notes(_log, facts.notes(replace(facts.rescaled(into), channels=images.shape[3])))
    return ImageData(images, found.name, skipped, labels, facts)


# images [N, H, W, C], skipped, labels, why the source's labels cannot be used ("": they can), facts
_Loaded = tuple[NDArray[np.uint8], tuple[str, ...], Labels | None, str, Facts]


def _cache_path(source: Source, into: Into, channels: int) -> Path:
    # with a background, transparency does not choose the channels: another result, even on white
    ground = into.background and colour(into.background)
    text = f"{_VERSION} {source.identity} {into.size} {channels} {ground} {into.fit} {into.kept_bits} {into.levels}"
    return cache_dir() / "images" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"


def _npy_header(shape: tuple[int, ...], bits: int) -> bytes:
    """Return the header of a .npy file (format 1.0) of whole numbers, with _HEADER_BYTES bytes for any shape."""
    text = (
        repr({"descr": "|u1" if bits == 8 else "<u2", "fortran_order": False, "shape": shape}).ljust(
            _HEADER_BYTES - 11
        )
        + "\n"
    )
    return np.lib.format.magic(1, 0) + struct.pack("<H", len(text)) + text.encode()


def _cached(source: Source, into: Into) -> _Loaded | None:
    """Return the images that an earlier call decoded, or None if they are not in the cache or are damaged."""
    for candidate in (1, 3, 4) if into.channels is None else (into.channels,):
        path = _cache_path(source, into, candidate)
        try:
            note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            shape = (int(note["count"]), *into.size, candidate)
            with path.open("rb") as file:
                whole = file.read(_HEADER_BYTES) == _npy_header(shape, into.kept_bits)
            count = int(np.prod(shape, dtype=np.int64)) * into.kept_bits // 8
            whole = whole and path.stat().st_size == _HEADER_BYTES + count
            # without "auto", the channels were requested, and may not be those of the images
            if whole and (note["auto"] or into.channels is not None):
                found = note["labels"]
                labels = found and Labels(
                    np.array(found, np.int64), tuple(note["classes"]), note["label_note"]
                )
                skipped = tuple(map(str, note["skipped"]))
                unlabelled, facts = str(note["unlabelled"]), facts_from_json(note["facts"])
                _log.debug("%s images of %s, from the cache: %s", f"{shape[0]:,}", source.given, path)
                return np.load(path, mmap_mode="r"), skipped, labels, unlabelled, facts
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _decode(found: Source, into: Into) -> _Loaded:
    if into.channels is not None:
        return _decode_to(found, into, auto=False)
    with found.open() as listing:
        ways = attempts(into, listing)
    for way in ways[:-1]:
        with suppress(OtherChannelsError):  # grey is usually refuted by the first image
            return _decode_to(found, way, auto=True)
    return _decode_to(found, ways[-1], auto=True)


def _decode_to(found: Source, into: Into, *, auto: bool) -> _Loaded:
    """Decode as `into` says. `auto`: nobody asked for its channels; raise OtherChannelsError if they are wrong."""
    path = _cache_path(found, into, into.channels or 1)
    try:
        with found.open() as listing, atomic(path) as part:
            if not listing.names:
                raise no_images(found.given, listing.others)
            skipped, tally = _write(listing, part, into)
            check_channels(into, tally, auto)
            if (
                rescaled := tally.rescaled(into)
            ) != into:  # the levels of the set are known only now: decode again
                skipped, tally = _write(listing, part, rescaled)
            count = len(listing.names) - len(skipped)
            if count < MIN_IMAGES:
                raise GantoolError(_too_few(found.given, count, list(skipped.values()), listing.others))
            labels, unlabelled = _labels(listing, skipped)
            facts = tally.facts()
            note = {
                "source": found.given,
                "count": count,
                "auto": auto,
                "skipped": list(skipped.values()),
                "labels": labels and labels.values.tolist(),
                "classes": labels and labels.classes,
                "label_note": labels and labels.note,
                "unlabelled": unlabelled,
                "facts": facts.to_json(),
            }
            with atomic(path.with_suffix(".json")) as note_part:
                note_part.write_text(json.dumps(note) + "\n", encoding="utf-8")
            if listing.others:
                _log.info("not read: %s", shown_others(listing.others))
    except OSError as error:
        raise GantoolError(
            f"the decoded images cannot be kept in {path.parent} ({error}): make room there, or set "
            "GANTOOL_CACHE to another folder"
        ) from error
    _log.info("decoded %s images, kept in %s", f"{count:,}", path)
    return np.load(path, mmap_mode="r"), tuple(skipped.values()), labels, unlabelled, facts


def _labels(listing: Listing, skipped: dict[int, str]) -> tuple[Labels | None, str]:
    """Return the labels of the images that were read, and ""; if they are damaged, None and the reason."""
    try:
        labels = listing.labels()
    except GantoolError as error:
        return None, str(error)
    return labels and replace(labels, values=np.delete(labels.values, list(skipped))), ""


def _write(listing: Listing, path: Path, into: Into) -> tuple[dict[int, str], Tally]:
    """Write the readable images as one .npy; return index -> "path: reason" for the others, and the facts.

    The header is written last, when the number of images is known. With `into.channels` None, all must be grey:
    raises OtherChannelsError at the first one that is not.
    """
    skipped: dict[int, str] = {}
    tally = Tally()
    total = len(listing.names)
    due = time.monotonic() + _PROGRESS_SECONDS
    stored = np.dtype("|u1" if into.kept_bits == 8 else "<u2")
    with (
        path.open("wb") as file,
        task("decoding", total, "images") as done,
        closing(decoded(listing, into)) as results,
    ):
        file.write(bytes(_HEADER_BYTES))
        for index, result in enumerate(results):
            if isinstance(result, str):
                skipped[index] = f"{shown(listing.names[index])}: {result}"
            elif into.channels is None and result.pixels.shape[2] == 3:
                raise OtherChannelsError
            else:
                file.write(result.pixels.astype(stored, copy=False).tobytes())
                tally.add(result)
            done.update(index + 1)
            if time.monotonic() > due:
                _log.info("decoded %s of %s images", f"{index + 1:,}", f"{total:,}")
                due = time.monotonic() + _PROGRESS_SECONDS
        file.seek(0)
        file.write(_npy_header((total - len(skipped), *into.size, into.channels or 1), into.kept_bits))
    return skipped, tally


def decoded(listing: Listing, into: Into) -> Generator[Fitted | str, None, None]:
    """Yield each image of the listing, converted as `into` says, or the reason why it cannot be read."""

    def one(index: int) -> Fitted | str:
        try:
            return fit(listing.read(index), into)
        except Exception as error:  # for a damaged file, a decoder can raise any error
            return message_of(error)

    if listing.tiny:
        yield from map(one, range(len(listing.names)))
        return
    Image.init()  # before the threads: it is not thread-safe, and a second thread would find formats missing
    threads = min(_MAX_THREADS, cores())
    # Pillow's warnings do not concern the pixels, or decode.py checks for their reason.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield from ordered_map(one, range(len(listing.names)), threads, 4 * threads)


def _too_few(source: str, count: int, skipped: list[str], others: Counter[str]) -> str:
    why = f"; {len(skipped):,} could not be read, such as {'; '.join(skipped[:3])}" if skipped else ""
    why += f"; not read: {shown_others(others)}" if others else ""
    images = "image" if count == 1 else "images"
    return f"{source} holds {count:,} readable {images}, at least {MIN_IMAGES} are needed{why}: " + (
        instead(source, others) or f"add images ({KINDS}) or give another folder"
    )

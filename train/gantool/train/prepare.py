"""`gantool data`: any folder or zip of images to one clean data set, with labels, statistics and a contact sheet.

The zip is laid out as StyleGAN's data sets are: 00000/img00000000.png ..., all of one size and colour, and
dataset.json with {"labels": [[name, class], ...]}, so other tools read it too. `class_names` in it is ours.
"""

from __future__ import annotations

import hashlib
import io
import json
import statistics
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gantool.models.config import SIZES
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.writer import grid, save_image
from gantool.train.data import MIN_IMAGES, ColourError, decoded
from gantool.train.decode import printable
from gantool.train.labels import DATASET_JSON
from gantool.train.sources import Listing, find_source

COLUMNS, ROWS = 16, 8  # of the contact sheet
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every member: the same images give the same bytes


@dataclass
class Prepared:
    """What became of the images."""

    size: int
    channels: int
    class_names: list[str]
    files: int = 0  # candidates
    skipped: list[str] = field(default_factory=list)  # "name: reason"
    duplicates: list[str] = field(default_factory=list)  # names of images that were there already
    labels: list[int] = field(default_factory=list)  # of the images that were kept, if there are classes
    sides: Counter[tuple[int, int]] = field(default_factory=Counter)  # of the original images
    count: int = 0
    total: float = 0.0  # of the grey levels of all pixels, and of their squares
    squares: float = 0.0
    sheet: list[NDArray[np.uint8]] = field(default_factory=list)  # [size, size, C] each


def prepare(
    source: str, out: Path, size: int | None, channels: int | None, labels: bool, note: Callable[[str], None]
) -> Prepared:
    """Write the images of `source` to the zip `out`, and a contact sheet beside it.

    Images are cropped to the square in their middle and resized; what cannot be read and what is there twice is
    left out. `size` None: the largest size of a preset that most images have. `channels` None: 1 if all are grey.
    Labels are those of dataset.json in the source, else the names of folders if all images lie in two or more.

    Raises UsageError for flags that cannot be, GantoolError for a source with too few images or damaged labels.
    """
    if out.suffix.lower() != ".zip":
        raise UsageError(f"-o {out}: give a name that ends in .zip, as in data.zip")
    if size is not None and size not in _sizes():
        raise UsageError(f"--size {size}: choose {', '.join(map(str, _sizes()))}")
    if channels not in (None, 1, 3):
        raise UsageError(f"--channels {channels}: choose 1 or 3")
    with find_source(source, note).open() as listing:
        if not listing.names:
            raise GantoolError(f"{source} holds no images: give another folder or zip")
        known = listing.labels() if labels else None
        names = list(known.classes) if known else []
        numbers = dict(zip(listing.names, known.values.tolist(), strict=True)) if known else {}
        sides = _sides(listing)
        wanted = size or _common_size([min(found) for found in sides if found])
        with atomic(out) as part:
            try:
                grey = channels in (None, 1)
                made = _write(
                    listing, part, Prepared(wanted, 1 if grey else 3, names), numbers, sides, channels
                )
            except ColourError:
                made = _write(listing, part, Prepared(wanted, 3, names), numbers, sides, 3)
            if made.count < MIN_IMAGES:
                reasons = f"; {'; '.join(made.skipped[:3])}" if made.skipped else ""
                raise GantoolError(
                    f"{source} holds {made.count} different readable images, at least {MIN_IMAGES} are "
                    f"needed{reasons}: add images"
                )
        save_image(out.with_suffix(".png"), grid(np.stack(made.sheet), COLUMNS))
    return made


def summary(made: Prepared) -> str:
    """Return what became of the images, for people."""
    pixels = made.count * made.size**2 * made.channels
    mean = made.total / pixels
    spread = max(made.squares / pixels - mean**2, 0) ** 0.5
    small, large = min(made.sides), max(made.sides)
    lines = [
        f"{made.count:,} images of {made.size}×{made.size}×{made.channels}, of {made.files:,} files; "
        f"left out {len(made.duplicates):,} as duplicates and {len(made.skipped):,} as unreadable",
        f"originals {_by(small)} to {_by(large)} pixels, most of them {_by(made.sides.most_common(1)[0][0])}; "
        f"grey levels {mean:.1f} ± {spread:.1f}",
    ]
    if made.class_names:
        counts = Counter(made.labels)
        lines.append(f"{len(made.class_names)} classes:")
        lines += [f"  {index}  {name}  {counts[index]:,}" for index, name in enumerate(made.class_names)]
    return "\n".join(lines)


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}×{sides[1]}"


def _sizes() -> list[int]:
    return sorted({size for sizes in SIZES.values() for size in sizes})


def _sides(listing: Listing) -> list[tuple[int, int] | None]:
    """Return the width and height of each image, by its header; None where that cannot be read."""
    sides: list[tuple[int, int] | None] = []
    for index in range(len(listing.names)):
        try:
            sides.append(listing.read(index).size)
        except Exception:  # noqa: PERF203 (a damaged file can bring any error; it is named when it is decoded)
            sides.append(None)
    return sides


def _common_size(shorter: list[int]) -> int:
    """Return the largest size of a preset that at least half of the images have."""
    middle = statistics.median(shorter) if shorter else 0
    return max((size for size in _sizes() if size <= middle), default=_sizes()[0])


def _write(
    listing: Listing,
    path: Path,
    made: Prepared,
    numbers: dict[str, int],
    sides: list[tuple[int, int] | None],
    channels: int | None,
) -> Prepared:
    """Write the zip. Raises ColourError at an image of colour where `channels` is None: all are to be grey."""
    made.files = len(listing.names)
    seen: set[bytes] = set()
    table: list[tuple[str, int]] = []
    every = max(made.files // (COLUMNS * ROWS), 1)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,  # a PNG is packed already
        closing(decoded(listing, made.size, channels)) as results,
    ):
        for index, pixels in enumerate(results):
            name = listing.names[index]
            if isinstance(pixels, str):
                made.skipped.append(f"{printable(name)}: {pixels}")
                continue
            if pixels.shape[2] != made.channels:
                raise ColourError
            if found := sides[index]:
                made.sides[found] += 1
            digest = hashlib.sha256(pixels.tobytes()).digest()
            if digest in seen:
                made.duplicates.append(printable(name))
                continue
            seen.add(digest)
            member = f"{made.count // 1000:05d}/img{made.count:08d}.png"
            archive.writestr(zipfile.ZipInfo(member, _EPOCH), _png(pixels))
            if numbers:
                table.append((member, numbers[name]))
                made.labels.append(numbers[name])
            if index % every == 0 and len(made.sheet) < COLUMNS * ROWS:
                made.sheet.append(pixels)
            made.count += 1
            levels = pixels.astype(np.float64)
            made.total += levels.sum()
            made.squares += np.square(levels).sum()
        if not made.sheet:
            return made
        text = {"labels": table or None, **({"class_names": made.class_names} if table else {})}
        archive.writestr(zipfile.ZipInfo(DATASET_JSON, _EPOCH), json.dumps(text))
    return made


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "png")
    return file.getvalue()

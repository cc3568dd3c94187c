"""`gantool data`: make a clean data set from images, with labels, statistics and a contact sheet.

The zip has the layout of StyleGAN's data sets, so other tools can read it: 00000/img00000000.png ..., all of one
size and number of channels, and dataset.json with {"labels": [[name, class], ...]}. gantool adds `class_names` to
it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import statistics
import zipfile
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from gantool.models.config import SIZES, Size, square
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.images import eight_bits, sheet
from gantool.runtime.progress import task, track
from gantool.train.data.channels import OtherChannelsError, attempts, check_channels
from gantool.train.data.dataset import decoded
from gantool.train.data.decode import Into
from gantool.train.data.facts import Facts, Tally
from gantool.train.data.labels import DATASET_JSON, Labels, why_none
from gantool.train.data.listing import MIN_IMAGES, Listing, instead, no_images, shown, shown_others
from gantool.train.data.sources import find_source
from gantool.train.presets import few, fitting
from gantool.train.requests import DataOptions

COLUMNS, ROWS = 16, 8  # of the contact sheet
_PNG = Encoding(level=6)  # as in earlier versions, so that the same images give the same bytes
_EPOCH = (1980, 1, 1, 0, 0, 0)  # date of every member, so that the same images give the same bytes
_NAMED = 10  # unreadable files that are logged, and duplicates that are logged

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """The data set that `prepare` made, and statistics."""

    path: Path  # the zip
    sheet: Path  # the contact sheet
    size: Size
    channels: int
    count: int  # images in it
    files: int  # files in the source that may be images
    skipped: tuple[str, ...]  # "name: reason" of unreadable files
    duplicates: tuple[str, ...]  # names of duplicates, which are not in the zip
    others: Counter[str]  # number of other files in the source by kind
    labels: Labels | None
    label_note: str  # why there are no labels, if the user may expect some
    facts: Facts  # of the readable images
    into: Into  # how the images were converted
    mean: float  # of all pixels, in grey levels
    spread: float  # standard deviation of all pixels, in grey levels


@dataclass
class _Making:
    """The state while a zip is written."""

    into: Into
    files: int
    others: Counter[str]
    skipped: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)  # of the images that were kept, if there are classes
    tally: Tally = field(default_factory=Tally)
    count: int = 0
    total: float = 0.0  # sum of all pixels
    squares: float = 0.0  # sum of the squares of all pixels
    sheet: list[NDArray[np.uint8]] = field(default_factory=list)  # [H, W, C] each

    @property
    def channels(self) -> int:
        """The channels of the images in the zip."""
        return self.into.channels or 1

    def done(self, out: Path, known: Labels | None, note: str) -> Prepared:
        """Return the finished data set."""
        pixels = self.count * math.prod(self.into.size) * self.channels
        mean = self.total / pixels
        return Prepared(
            out,
            out.with_suffix(".png"),
            self.into.size,
            self.channels,
            self.count,
            self.files,
            tuple(self.skipped),
            tuple(self.duplicates),
            self.others,
            known and replace(known, values=np.array(self.labels)),
            note,
            self.tally.facts(),
            replace(self.into, channels=self.channels),
            mean,
            max(self.squares / pixels - mean**2, 0) ** 0.5,
        )


def prepare(options: DataOptions) -> Prepared:
    """Write the images of a source to a zip, and a contact sheet beside it.

    Images are made to fit the aspect of the size, and resized. Unreadable files and duplicates are left out.
    Labels come from the source, see labels.py.

    Raises GantoolError for a source with too few images or damaged labels.
    """
    channels = 1 if options.bits == 16 else options.channels
    with find_source(options.source).open() as listing:
        if not listing.names:
            raise no_images(options.source, listing.others)
        _log.debug("%s files of images in %s", f"{len(listing.names):,}", options.source)
        known = listing.labels() if options.labels else None
        why = why_none(listing.names) if options.labels and not known else ""
        size = options.size or square(_common_size(_shorter(listing)))
        _log.debug("writing images of %d×%d", *size)
        into = Into(
            size,
            channels,
            options.background,
            fit=options.fit,
            kept_bits=options.bits,
            levels=options.levels,
        )
        with atomic(options.out) as part:
            for way in attempts(into, listing):
                with suppress(OtherChannelsError):
                    made = _write(listing, part, way, known)
                    check_channels(way, made.tally, auto=channels is None)
                    break
            if (
                rescaled := made.tally.rescaled(made.into)
            ) != made.into:  # now the levels of the set are known
                made = _write(listing, part, rescaled, known)
            if made.count < MIN_IMAGES:
                raise GantoolError(_too_few(options.source, made))
        # only for folders that the user may have meant as classes
        note = f"no classes: {why}" if "not classes" in why else ""
        save_image(options.out.with_suffix(".png"), sheet(np.stack(made.sheet), COLUMNS))
    for line in made.skipped[:_NAMED]:
        _log.warning("left out %s", line)
    if more := len(made.skipped[_NAMED:]):
        _log.warning("left out %s more", f"{more:,}")
    for name in made.duplicates[:_NAMED]:
        _log.info("left out %s: a duplicate", name)
    if more := len(made.duplicates[_NAMED:]):
        _log.info("left out %s more duplicates", f"{more:,}")
    return made.done(options.out, known, note)


def _too_few(source: str, made: _Making) -> str:
    """Return the message for a source with too few images."""
    reasons, odd = [], made.tally.facts().warnings(made.into.ground) if made.count else []
    if made.duplicates:
        reasons.append(f"{len(made.duplicates):,} are the same as others when decoded")
    if made.skipped:
        reasons.append(f"{len(made.skipped):,} cannot be read ({'; '.join(made.skipped[:3])})")
    reasons += [f"not read: {shown_others(made.others)}"] if made.others else []
    reasons += [line.removeprefix("warning: ") for line in odd]
    images, files = ("image" if made.count == 1 else "images"), ("file" if made.files == 1 else "files")
    add = instead(source, made.others) or "add images"
    return (
        f"{source} holds {made.count} different readable {images} in {made.files:,} {files}, at least {MIN_IMAGES} "
        f"are needed{''.join(f'; {reason}' for reason in reasons)}"
        f"{'' if odd else f': {add}'}"
    )


def summary(made: Prepared) -> str:
    """Return a summary of the data set as text."""
    facts = made.facts
    lines = [
        f"{made.count:,} images of {made.size.by}×{made.channels}, of {made.files:,} files; "
        f"left out {len(made.duplicates):,} as duplicates and {len(made.skipped):,} as unreadable",
        f"originals {_originals(facts)}; grey levels {made.mean:.1f} ± {made.spread:.1f}",
    ]
    if made.others:
        lines.append(f"not read: {shown_others(made.others)}")
    lines += facts.notes(made.into)
    if labels := made.labels:
        count, counts = len(labels.classes), Counter(labels.values.tolist())
        lines.append(f"{count} {'class' if count == 1 else 'classes'}:")
        lines += [f"  {index}  {name}  {counts[index]:,}" for index, name in enumerate(labels.classes)]
        lines += labels.lines()[1:]
    elif made.label_note:
        lines.append(made.label_note)
    return "\n".join(lines)


def next_command(made: Prepared) -> str:
    """Return the recommended `gantool train` command for the set, with the reasons as a comment."""
    preset, flags = fitting(made.size, made.count)
    words = ["gantool train --data", quote(str(made.path)), f"--preset {preset}", *flags]
    reasons = []
    if few(made.count):
        reasons.append(f"for small sets such as icons: {made.count:,} images")
    if made.into.kept_bits == 16:
        words.append("--bits 16")
    if made.channels == 4 and 2 * made.facts.transparent <= made.facts.count:
        words.append("--channels 4")  # which gantool train does not choose by itself
    if made.labels and len(made.labels.classes) > 1:
        words.append("--conditional")
        reasons.append(f"{len(made.labels.classes)} classes")
    return " ".join(words) + (f"   # {'; '.join(reasons)}" if reasons else "")


def _originals(facts: Facts) -> str:
    if facts.smallest == facts.largest:
        return f"of {_by(facts.smallest)} pixels"
    return (
        f"{_by(facts.smallest)} to {_by(facts.largest)} pixels, most often {_by(facts.commonest)} "
        f"({facts.common:,} of {facts.count:,}), half of them {facts.side} or more on the shorter side"
    )


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}×{sides[1]}"


def _shorter(listing: Listing) -> list[int]:
    """Return the shorter side of each image whose header can be read."""
    sides: list[int] = []
    for index in track(range(len(listing.names)), "reading sizes", len(listing.names), "images"):
        with suppress(Exception):  # a damaged file can raise any error; decoding reports it later
            sides.append(min(listing.read(index).size))
    return sides


def _common_size(shorter: list[int]) -> int:
    """Return the largest size of a preset that at least half of the images have."""
    middle = statistics.median(shorter) if shorter else 0
    return max((size for size in SIZES if size <= middle), default=SIZES[0])


def _write(listing: Listing, path: Path, into: Into, known: Labels | None) -> _Making:
    """Write the zip. If `into.channels` is None, all images must be grey: else raises OtherChannelsError."""
    made = _Making(into, len(listing.names), listing.others)
    seen: set[bytes] = set()
    table: list[tuple[str, int]] = []
    every = max(made.files // (COLUMNS * ROWS), 1)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,  # PNG is already compressed
        task("writing", made.files, "images") as done,
        closing(decoded(listing, into)) as results,
    ):
        for index, image in enumerate(results):
            done.update(index + 1)
            name = listing.names[index]
            if isinstance(image, str):
                made.skipped.append(f"{shown(name)}: {image}")
                continue
            pixels = image.pixels
            if pixels.shape[2] != made.channels:
                raise OtherChannelsError
            made.tally.add(image)
            digest = hashlib.sha256(pixels.tobytes()).digest()
            if digest in seen:
                made.duplicates.append(shown(name))
                continue
            seen.add(digest)
            member = f"{made.count // 1000:05d}/img{made.count:08d}.png"
            archive.writestr(zipfile.ZipInfo(member, _EPOCH), _PNG.encode(pixels))
            if known:
                number = int(known.values[index])
                table.append((member, number))
                made.labels.append(number)
            if index % every == 0 and len(made.sheet) < COLUMNS * ROWS:
                made.sheet.append(eight_bits(pixels))
            made.count += 1
            levels = pixels / (np.iinfo(pixels.dtype).max / 255)  # of 255, in 8 bits and in 16
            made.total += levels.sum()
            made.squares += np.square(levels).sum()
        if not made.sheet:
            return made
        text = {"labels": table or None, **({"class_names": list(known.classes)} if known and table else {})}
        archive.writestr(zipfile.ZipInfo(DATASET_JSON, _EPOCH), json.dumps(text))
    return made

"""`gantool authenticate`: make each image again from the record in its mark, and compare.

A mark is text that anyone can write. What it claims is proven by the pixels: only its generator makes them.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gantool.runtime.classes import OfImage, labeller
from gantool.runtime.colours import colour
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.latents import check_truncation, check_z, latents
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.progress import task
from gantool.runtime.provenance.compare import Compared, compare, largest_difference
from gantool.runtime.provenance.options import AuthenticateOptions
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.provenance.pictures import opened
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.record import Record
from gantool.runtime.provenance.search import Found, Search
from gantool.runtime.provenance.verdict import Kind, Verdict, levels_text
from gantool.runtime.seeds import as_seeds, parse_seeds
from gantool.runtime.spec import Images, Latents, Spec

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff")  # of images in a folder
AT_ONCE = 64  # images
_SHEET = re.compile(r"grid(-\d+of\d+)?\.png")  # as `gantool generate` names them
_log = logging.getLogger(__name__)
_Claim: TypeAlias = "tuple[Record, Latents, OfImage | None]"  # with z, [latent], and the label


def authenticate(engine: Path, options: AuthenticateOptions) -> Iterator[Verdict]:
    """Yield the verdict of each file, in constant memory; those that are searched for come last.

    Raises UsageError for options that do not fit, GantoolError if a file is missing or the engine fails.
    """
    files = list(_files(options.files))
    with Generator.load(engine, options.provider, options.threads) as generator:
        judge = _Judge(generator, Origin.of(engine), options.batch)
        seeds = _range(options, generator.spec)
        unmarked = []
        with task("authenticating", len(files), "images") as done:
            for start in range(0, len(files), AT_ONCE):
                for verdict in judge.verdicts(files[start : start + AT_ONCE]):
                    if verdict.kind == "unmarked" and seeds is not None:
                        unmarked.append(verdict.file)
                    else:
                        yield verdict
                done.update(min(start + AT_ONCE, len(files)))
        if unmarked and seeds is not None:
            yield from _searched(judge, unmarked, seeds, options)


class _Judge:
    """Compares files with the images that their marks promise."""

    def __init__(self, generator: Generator, origin: Origin, batch: int | None) -> None:
        self.generator, self._origin, self._batch = generator, origin, batch

    def verdicts(self, files: Sequence[Path]) -> Iterator[Verdict]:
        """Yield the verdicts of some files, whose images are made together."""
        claims = [self._claim(path) for path in files]
        made = iter(self._make([each for each in claims if not isinstance(each, Verdict)]))
        for path, claim in zip(files, claims, strict=True):
            yield claim if isinstance(claim, Verdict) else self._judge(path, claim[0], next(made))

    def compared(self, path: Path, image: Images) -> Compared:
        """Compare a file without a mark with an image, [H, W, C]. Raises GantoolError if it is damaged."""
        with opened(path) as picture:
            return compare(picture, image, largest_difference(self._origin.precision))

    def _claim(self, path: Path) -> Verdict | _Claim:
        """Return what the mark of a file claims, or the verdict at once."""
        try:
            mark = read_mark(path)
        except GantoolError as error:
            why = str(error).removeprefix(str(path)).lstrip(": ").removeprefix("is ")
            return Verdict(path, "unreadable", why)
        if mark is None:
            return Verdict(path, "unmarked")
        record = mark.record
        if record is None:
            return Verdict(path, "unmarked", "its metadata have no record of gantool")
        if record.seed is None and record.z is None:
            return Verdict(path, "several", f"of seeds {record.seeds}" if record.seeds else "")
        try:
            self._check_background(record)
            return record, self._z(record), self._label(record)
        except UsageError as error:
            return self._not_made(path, record, f" ({error})".replace("`", ""))

    def _not_made(self, path: Path, record: Record, why: str) -> Verdict:
        kind: Kind = "altered" if record.graph == self._origin.graph else "other"
        return Verdict(path, kind, f"this engine cannot make what its mark says{why}", record.seed)

    def _check_background(self, record: Record) -> None:
        if record.background is None:
            return
        colour(record.background)
        if self.generator.spec.channels != 4:
            raise UsageError("its record has a background, and images of this engine are not transparent")

    def _z(self, record: Record) -> Latents:
        spec = self.generator.spec
        if record.z is not None:
            (z,) = check_z(record.z[None], spec.latent)
            return np.asarray(z)
        assert record.seed is not None
        check_truncation(record.truncation, record.resample, spec.distribution)
        how = (spec.latent, spec.distribution, record.truncation, record.resample)
        (z,) = latents(as_seeds(record.seed), *how)
        return np.asarray(z)

    def _label(self, record: Record) -> OfImage | None:
        label = record.label
        if label is None and self.generator.spec.classes != 0:
            raise UsageError("its record has no class")
        mix = np.array([label], np.float32) if isinstance(label, tuple) else label
        ((_, of_image),) = labeller(mix, self.generator.spec, 1)([0])
        return of_image

    def _make(self, claims: Sequence[_Claim]) -> list[Images | None]:
        """Return the image, [H, W, C], of each claim; None where its z makes the engine fail."""
        try:
            return list(self._run(claims))
        except GantoolError:  # one z of a forged mark, so large that images are NaN, must not end it all
            if len(claims) > 1:
                return [image for claim in claims for image in self._make([claim])]
            record, z, label = claims[0]
            list(self._run([(record, np.zeros_like(z), label)]))  # raises it if the engine itself fails
            return [None]

    def _run(self, claims: Sequence[_Claim]) -> Iterator[Images]:
        labelled = [(number, claim[2]) for number, claim in enumerate(claims)]
        run = self.generator.run(
            labelled, lambda keys: np.stack([claims[key][1] for key in keys]), self._batch
        )
        for _, images in run:
            yield from images.copy()

    def _judge(self, path: Path, record: Record, image: Images | None) -> Verdict:
        if image is None:
            return self._not_made(path, record, ": its z makes no image")
        if record.background is not None:
            image = over_colour(image[None], colour(record.background))[0]
        try:
            with opened(path) as picture:
                most = largest_difference(record.precision, self._origin.precision)
                found = compare(picture, image, most)
        except GantoolError as error:
            return Verdict(path, "unreadable", str(error), record.seed)
        if found.outcome == "other" and record.graph == self._origin.graph:
            found = replace(found, outcome="altered", note="not the picture of its mark")
        return Verdict(path, found.outcome, _note(found, record), record.seed, found)


def _note(found: Compared, record: Record) -> str:
    if found.outcome == "altered" and not found.note:
        return f"{found.share:.2%} of the pixels, by up to {levels_text(found.levels)}"
    if found.outcome == "unproven":
        engine = f"{record.engine}, {record.precision or 'precision unknown'}, graph {record.graph[:12]}"
        return (
            f"within {levels_text(found.levels)} of what this engine makes: rounding or an alteration; "
            f"check with the engine in its mark ({engine})"
        )
    return found.note


def _searched(
    judge: _Judge, files: Sequence[Path], seeds: range, options: AuthenticateOptions
) -> Iterator[Verdict]:
    """Yield the verdicts of files without a mark, after a search for their seeds."""
    generator, batch, truncation = judge.generator, options.batch, options.truncation
    search, label, wanted = Search(), options.label, []
    for path in files:
        try:
            search.want(path)
            wanted.append(path)
        except GantoolError as error:  # noqa: PERF203
            yield Verdict(path, "unreadable", str(error))
    if not wanted:
        return
    with task("searching", len(seeds), "seeds") as done:
        for made, images in generator.stream(seeds, batch, truncation, label):
            search.add([int(str(seed)) for seed in made], images)
            done.update(seeds.index(int(str(made[-1]))) + 1)
    for path, found in zip(wanted, search.found(), strict=True):
        (image,) = generator.images([found.seed], batch, truncation, label)
        yield _of_search(path, found, judge.compared(path, image))


def _of_search(path: Path, found: Found, compared: Compared) -> Verdict:
    """Return the verdict after a search, and how sure it is."""
    seed = f"seed {found.seed}"
    if compared.outcome == "authentic":
        note = f"{seed} makes it bit for bit"
    elif compared.outcome == "close":
        note = f"{seed} makes it within {levels_text(compared.levels)}"
    elif compared.outcome == "copy":
        note = f"{seed} makes it, {compared.note}"
    elif found.sure:
        note = f"{seed} is like it ({found.distance:.1f} levels from it, the next seed {found.second:.1f}): likely"
    else:
        note = f"no seed stands out; the nearest is {found.seed}, {found.distance:.1f} levels from it"
        return Verdict(path, "unmarked", note)
    return Verdict(path, "found", note, str(found.seed), compared)


def _range(options: AuthenticateOptions, spec: Spec) -> range | None:
    """Return the seeds to search. Raises UsageError."""
    if options.search is None:
        for name, given in (("label", options.label), ("truncation", options.truncation != 1)):
            if given:
                raise UsageError(f"`{name}` is for a search: add `search` 0-99999")
        return None
    check_truncation(options.truncation, None, spec.distribution)
    labeller(options.label, spec)
    parts = parse_seeds(options.search, None, "search").parts
    if len(parts) != 1 or not isinstance(parts[0], range):
        raise UsageError(f"`search` {options.search}: give one range, as in 0-99999")
    return parts[0]


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """Yield the files, and those in folders, in order; sheets only if they are named.

    Raises GantoolError for a path that is missing.
    """
    if not given:
        raise UsageError("name images, or a folder of them: gantool authenticate images")
    for path in given:
        if path.is_dir():
            yield from _in_folder(path)
        elif path.is_file():
            yield path
        else:
            found = "it is not a file" if path.exists() else "there is no such file"
            raise GantoolError(f"{path}: {found}")


def _in_folder(folder: Path) -> list[Path]:
    """Return the images of a folder. Raises GantoolError if it has none, OSError if a part cannot be read."""
    there = (Path(root, name) for root, _, names in os.walk(folder, onerror=_raise) for name in names)
    images = sorted(path for path in there if path.suffix.lower() in SUFFIXES and path.is_file())
    for sheet in (path for path in images if _SHEET.fullmatch(path.name)):
        _log.info("%s is a sheet by its name: not checked", sheet)
    found = [path for path in images if not _SHEET.fullmatch(path.name)]
    if not found:
        raise GantoolError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    return found


def _raise(error: OSError) -> None:
    raise error  # images that were passed over would count as authentic

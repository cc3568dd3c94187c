"""`gantool authenticate`: make each image again from the record in its mark, and compare.

A mark is text that anyone can write. What it claims is proven by the pixels: only its generator makes them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gantool.runtime.classes import OfImage, labeller
from gantool.runtime.colours import colour
from gantool.runtime.errors import GantoolError, UsageError, VerificationError
from gantool.runtime.generator import Generator
from gantool.runtime.latents import check_truncation, check_z, latents
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.progress import task
from gantool.runtime.provenance.compare import Compared, Outcome, compare, tolerance
from gantool.runtime.provenance.options import AuthenticateOptions
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.record import Record
from gantool.runtime.provenance.search import Found, Search
from gantool.runtime.seeds import as_seeds, parse_seeds
from gantool.runtime.spec import Images, Latents, Spec

Kind = Literal[Outcome, "several", "unmarked", "found", "unreadable"]
SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff")  # of images in a folder
AT_ONCE = 64  # images
_WORDS: dict[Kind, str] = {
    "authentic": "authentic, bit for bit",
    "close": "authentic within {levels} (other engine)",
    "resized": "not the original file",
    "altered": "altered",
    "other": "of another generator",
    "several": "a sheet or a film",
    "unmarked": "no mark",
    "found": "no mark",
    "unreadable": "unreadable",
}


@dataclass(frozen=True)
class Verdict:
    """What one file turned out to be."""

    file: Path
    kind: Kind
    note: str = ""
    seed: str | None = None  # of its mark, or that was found
    compared: Compared | None = None

    @property
    def authentic(self) -> bool:
        """Whether the file is as the generator made it."""
        return self.kind in ("authentic", "close")

    def text(self) -> str:
        """Return the verdict in words."""
        words = _WORDS[self.kind].format(levels=_levels(self.compared.levels if self.compared else 0))
        return f"{words}: {self.note}" if self.note else words

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        found = self.compared
        return {
            "file": str(self.file),
            "verdict": self.kind,
            "authentic": self.authentic,
            "seed": self.seed,
            "levels": found.levels if found else None,
            "altered_share": found.share if found else None,
            "note": self.note,
        }


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


def check(verdicts: Sequence[Verdict]) -> None:
    """Raise VerificationError if a file is not authentic."""
    good = sum(verdict.authentic for verdict in verdicts)
    if good < len(verdicts):
        raise VerificationError(f"{good:,} of {len(verdicts):,} images are authentic")


class _Judge:
    """Compares files with the images that their marks promise."""

    def __init__(self, generator: Generator, origin: Origin, batch: int | None) -> None:
        self.generator, self._origin, self._batch = generator, origin, batch

    def verdicts(self, files: Sequence[Path]) -> Iterator[Verdict]:
        """Yield the verdicts of some files, whose images are made together."""
        claims = [self._claim(path) for path in files]
        promised = [(number, each) for number, each in enumerate(claims) if not isinstance(each, Verdict)]
        made = dict(zip((number for number, _ in promised), self._make(promised), strict=True))
        for number, (path, claim) in enumerate(zip(files, claims, strict=True)):
            if isinstance(claim, Verdict):
                yield claim
            else:
                yield self._judge(path, claim[0], made[number])

    def compared(self, path: Path, image: Images) -> Compared:
        """Compare a file without a mark with an image, [H, W, C]."""
        with Image.open(path) as picture:
            return compare(picture, image, tolerance((None, self._origin.precision), same=False))

    def _claim(self, path: Path) -> Verdict | tuple[Record, Latents, OfImage | None]:
        """Return what the mark of a file claims, with its z, [latent], and its label; or the verdict at once."""
        try:
            mark = read_mark(path)
        except GantoolError as error:
            return Verdict(path, "unreadable", str(error).removeprefix(f"{path}: ").removeprefix(f"{path} "))
        if mark is None:
            return Verdict(path, "unmarked")
        record = mark.record
        if record is None:
            return Verdict(path, "unmarked", "its metadata have no record of gantool")
        if record.seed is None and record.z is None:
            return Verdict(path, "several", f"of seeds {record.seeds}" if record.seeds else "")
        try:
            return record, self._z(record), self._label(record)
        except UsageError as error:
            return Verdict(path, "other", f"this engine cannot make it ({error})", record.seed)

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

    def _make(self, promised: list[Any]) -> Iterator[Images]:
        """Yield the image, [H, W, C], of each claim."""
        z = {number: claim[1] for number, claim in promised}
        labelled = [(number, claim[2]) for number, claim in promised]
        run = self.generator.run(labelled, lambda keys: np.stack([z[key] for key in keys]), self._batch)
        for _, images in run:
            yield from images.copy()

    def _judge(self, path: Path, record: Record, image: Images) -> Verdict:
        if record.background is not None:
            image = over_colour(image[None], colour(record.background))[0]
        same_graph = record.graph == self._origin.graph
        same = same_graph and record.engine == self.generator.name
        most = tolerance((record.precision, self._origin.precision), same)
        try:
            with Image.open(path) as picture:
                found = compare(picture, image, most)
        except (OSError, SyntaxError, ValueError, EOFError, zlib.error) as error:
            return Verdict(
                path, "unreadable", f"its pixels are damaged ({type(error).__name__})", record.seed
            )
        if found.outcome == "other" and same_graph:
            found = replace(found, outcome="altered", note="not the picture of its mark")
        return Verdict(path, found.outcome, _note(found), record.seed, found)


def _note(found: Compared) -> str:
    if found.outcome == "altered" and not found.note:
        return f"{found.share:.2%} of the pixels, by up to {_levels(found.levels)}"
    return found.note


def _searched(
    judge: _Judge, files: Sequence[Path], seeds: range, options: AuthenticateOptions
) -> Iterator[Verdict]:
    """Yield the verdicts of files without a mark, after a search for their seeds."""
    generator, batch, truncation = judge.generator, options.batch, options.truncation
    search, label = Search(), options.label
    readable = [path for path in files if search.want(path)]
    with task("searching", len(seeds), "seeds") as done:
        for made, images in generator.stream(seeds, batch, truncation, label):
            search.add([int(str(seed)) for seed in made], images)
            done.update(seeds.index(int(str(made[-1]))) + 1)
    for path, found in zip(readable, search.found(), strict=True):
        (image,) = generator.images([found.seed], batch, truncation, label)
        yield _of_search(path, found, judge.compared(path, image))
    for path in files:
        if path not in readable:
            yield Verdict(path, "unreadable", "its pixels are damaged")


def _of_search(path: Path, found: Found, compared: Compared) -> Verdict:
    """Return the verdict after a search, and how sure it is."""
    seed = f"seed {found.seed}"
    if compared.outcome == "authentic":
        note = f"{seed} makes it bit for bit"
    elif compared.outcome == "close":
        note = f"{seed} makes it within {_levels(compared.levels)}"
    elif compared.outcome == "resized":
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
    """Yield the files, and those in folders, in order; sheets, grid*.png, only if they are named.

    Raises GantoolError for a path that is missing.
    """
    if not given:
        raise UsageError("name images, or a folder of them: gantool authenticate images")
    for path in given:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if _is_image(each))
            if not found:
                raise GantoolError(f"{path} holds no images ({', '.join(SUFFIXES)})")
            yield from found
        elif path.exists():
            yield path
        else:
            raise GantoolError(f"{path}: there is no such file")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("grid") and path.is_file()


def _levels(count: int) -> str:
    return f"{count} grey level{'' if count == 1 else 's'}"

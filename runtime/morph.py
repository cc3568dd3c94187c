"""`gantool morph`: walk through the latent space, from seed to seed, and write the images as a film.

Memory is that of a batch, whatever the length of the film.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, cast

import numpy as np

from gantool.runtime.authorship import Authorship
from gantool.runtime.classes import OfImage
from gantool.runtime.colours import colour
from gantool.runtime.errors import UsageError
from gantool.runtime.files import atomic
from gantool.runtime.generator import Generator
from gantool.runtime.latents import check_truncation
from gantool.runtime.options import MorphOptions
from gantool.runtime.outputs.animation import Apng, Film, Gif, Joiner, WebP
from gantool.runtime.outputs.images import eight_bits, grid, over_colour
from gantool.runtime.outputs.raw import NO_MARK, RawFilm, check_stdout, players
from gantool.runtime.outputs.video import CODECS, Video
from gantool.runtime.process.cpus import limit
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.progress import task
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.provenance.record import Record
from gantool.runtime.seeds import Seeds, parse_seeds
from gantool.runtime.spec import Images, Latents, Spec
from gantool.runtime.walk import Walk, walk_of

_JOINERS = {".gif": Gif, ".webp": WebP, ".png": Apng, ".apng": Apng}
_OPAQUE = (".gif", *CODECS)  # formats without transparency
_MOST_FPS = {".gif": 50}  # browsers slow down a GIF of more
MAX_SIDE = 16_383  # pixels, of a WebP
MAX_SEEDS = 100_000  # whose z are in memory
_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Morphed:
    """The result of `morph`."""

    path: Path | None  # None: stdout
    film: Film

    def text(self) -> str:
        """Return a summary of one line."""
        film = self.film
        seconds = film.frames / film.fps
        return (
            f"{film.frames:,} frames of {film.size} in {self.path or 'stdout'}, "
            f"{seconds:.1f} s at {film.fps:g} frames a second"
        )


@dataclass(frozen=True)
class Shot:
    """A film before it is made: its walk, its form, and how its cells lie."""

    options: MorphOptions
    walk: Walk
    film: Film

    @property
    def label(self) -> int | None:
        """The class of all images, if they have one class."""
        classes = self.walk.classes
        return None if self.options.label is None or classes is None else int(classes[0, 0])

    @property
    def cells(self) -> int:
        """The number of images of a frame."""
        columns, rows = self.options.cells
        return columns * rows


class Source(Protocol):
    """What makes the images: a `Generator`, or one that shares its engine with others."""

    @property
    def spec(self) -> Spec:
        """The inputs and outputs of the engine."""

    def run(
        self,
        labelled: Iterable[tuple[T, OfImage | None]],
        z_of: Callable[[list[T]], Latents],
        batch: int | None = None,
    ) -> Iterator[tuple[list[T], Images]]:
        """Yield each batch of `labelled` with its images, as `Generator.run` does."""


def morph(engine: Path, options: MorphOptions) -> Morphed:
    """Write a film of `options.seeds` with `engine`.

    Raises UsageError for options that do not fit together or to the engine, before any work, MissingDependencyError
    for a video without PyAV, and GantoolError if the engine fails. Then it leaves no file.
    """
    seeds = check(options)
    with Generator.load(engine, options.provider, options.threads) as generator:
        shot = plan(options, seeds, generator.spec)
        shot = marked(shot, Origin.of(engine).record(generator.name), generator.spec.authorship)
        with (
            task("morphing", shot.film.frames, "frames") as done,
            stop_signals() as stopping,
        ):

            def made(frames: int) -> None:
                done.update(frames)
                if stopping:
                    raise KeyboardInterrupt

            write(shot, generator, made)
    return Morphed(None if str(options.out) == "-" else options.out, shot.film)


def plan(options: MorphOptions, seeds: Seeds, spec: Spec) -> Shot:
    """Return what a film of these checked options is with an engine. Raises UsageError if they do not fit to it."""
    columns, rows = options.cells
    check_truncation(options.truncation, options.resample, spec.distribution)
    walk = walk_of(options, spec, seeds, columns * rows)
    return Shot(options, walk, _film(options, spec, walk, columns, rows))


def marked(shot: Shot, record: Record, authorship: Authorship) -> Shot:
    """Return the film with its mark; `record`: what all images of the engine have in common."""
    options = shot.options
    if options.mark == "none":
        return shot
    common = replace(
        record,
        truncation=options.truncation,
        resample=options.resample,
        background=shot.film.background,
        label=shot.label,
    )
    marker = Marker(common, options.credit, options.aigc, authorship=authorship)
    packet = marker.of_several("".join(options.seeds.split()))
    return replace(shot, film=replace(shot.film, packet=packet))


def write(shot: Shot, source: Source, made: Callable[[int], None]) -> None:
    """Write the film to `options.out`, whole or not at all; call `made` with the number of frames after each one.

    What `made` raises ends the work.
    """
    options, walk = shot.options, shot.walk
    stream = source.run(walk.places(), walk.at, options.batch)
    with _joiner(options, shot.film) as joiner:
        for number, cells in enumerate(_framed(stream, shot.cells), 1):
            joiner.add(_frame(options, shot.film, cells, options.cells[0]))
            made(number)
        joiner.close()


def check(options: MorphOptions) -> Seeds:
    """Return the seeds of the film. Raises UsageError for options that do not fit together."""
    found, (columns, rows) = parse_seeds(options.seeds), options.cells
    seeds, cells = len(found), columns * rows
    out = options.out
    suffix = out.suffix.lower()
    if str(out) == "-":
        check_stdout("file")
    elif suffix not in _JOINERS and suffix not in CODECS:
        known = ", ".join([*CODECS, *_JOINERS])
        raise UsageError(f"`out` {out}: give a name that ends in one of {known}, or - for raw frames")
    elif out.exists() and not options.force:
        raise UsageError(f"`out` {out} exists: give `force` to overwrite it, or another name")
    if options.fps > (most := _MOST_FPS.get(suffix, math.inf)):
        raise UsageError(f"`fps` {options.fps:g}: a {suffix[1:]} has at most {most}")
    if seeds > MAX_SEEDS:
        raise UsageError(f"`seeds`: {seeds:,} seeds; a film has at most {MAX_SEEDS:,}")
    if seeds % cells:
        raise UsageError(
            f"`seeds`: {seeds} seeds cannot be dealt evenly to the {cells} cells of `grid` {options.grid}; "
            f"give two or more for each cell, as in 0-{2 * cells - 1}"
        )
    if seeds // cells < 2:
        each = " for each cell" if cells > 1 else ""
        raise UsageError(f"`seeds`: a walk needs at least two seeds{each}, as in 0-{2 * cells - 1}")
    return found


def _film(options: MorphOptions, spec: Spec, walk: Walk, columns: int, rows: int) -> Film:
    """Return the form of the film. Raises UsageError for one that is too large."""
    height, width = (side * options.upscale for side in (rows * spec.height, columns * spec.width))
    suffix, channels = options.out.suffix.lower(), spec.channels
    if max(height, width) > MAX_SIDE:
        raise UsageError(
            f"frames of {height:,}×{width:,} pixels are too large, the most is {MAX_SIDE:,}: give a smaller "
            "`upscale` or `grid`"
        )
    if suffix in CODECS:  # their pixel format has one colour for two by two pixels
        height, width = height + height % 2, width + width % 2
    background = None
    if channels == 4 and (options.background is not None or suffix in _OPAQUE):
        channels, background = 3, options.background or "white"
        _log.info("transparent images are laid on %s", background)
    elif options.background is not None:
        raise UsageError(
            f"`background` {options.background} is for transparent images: this engine makes {spec.size}"
        )
    return Film(height, width, channels, options.fps, walk.length, background)


def _framed(stream: Iterator[tuple[list[tuple[int, int]], Images]], cells: int) -> Iterator[Images]:
    """Yield the images of each frame, [cells, H, W, C]."""
    left: list[Images] = []
    for _, images in stream:
        for image in images:
            left.append(eight_bits(image).copy())  # a view would keep the batch in memory, or change with it
            if len(left) == cells:
                yield np.stack(left)
                left = []


def _frame(options: MorphOptions, film: Film, cells: Images, columns: int) -> Images:
    """Return a frame, uint8 [H, W, C], from the images of its cells."""
    if film.background is not None:
        cells = over_colour(cells, colour(film.background))
    frame = grid(cells, columns)
    frame = frame.repeat(options.upscale, 0).repeat(options.upscale, 1)
    extra = (film.height - frame.shape[0], film.width - frame.shape[1])
    return np.pad(frame, ((0, extra[0]), (0, extra[1]), (0, 0)), "edge") if any(extra) else frame


@contextmanager
def _joiner(options: MorphOptions, film: Film) -> Iterator[Joiner]:
    """Open the file, whole or not at all, or stdout."""
    suffix = options.out.suffix.lower()
    if str(options.out) == "-":
        commands = players(film.height, film.width, film.channels, fps=film.fps)
        _log.info("raw frames of %s, uint8; to play them:\n%s", film.size, commands)
        if film.packet is not None:
            _log.info(NO_MARK)
        yield RawFilm()
    elif suffix in CODECS:
        with atomic(options.out) as part:
            video = Video(part, film, limit())
            try:
                yield video
            finally:
                video.free()
    else:
        with atomic(options.out) as part, part.open("wb") as file:
            yield cast("Joiner", _JOINERS[suffix](file, film))

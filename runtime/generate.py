"""`gantool generate`: write the images of seeds to disk or stdout."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from gantool.runtime.colours import Colour, colour
from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.base import Output, Target
from gantool.runtime.outputs.formats import OUTPUTS, check_same
from gantool.runtime.outputs.image_files import image_name
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.outputs.sheet import Sheet
from gantool.runtime.process.pool import thread_count
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.progress import task
from gantool.runtime.request import Request
from gantool.runtime.seeds import Seeds, class_number, parse_seeds, parse_shard, shard
from gantool.runtime.spec import Images, Spec

Batches = Iterator[tuple[list[int], Images]]  # seeds, and their images, uint8 [n, H, W, C]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generated:
    """The result of `generate`."""

    folder: Path | None  # None: stdout
    images: int  # written or found: all that were requested
    found: int | None  # how many of them an earlier run had written; None without `resume`
    spec: Spec  # of the engine
    label: int | None  # the class of all images
    sheet: Path | None  # grid.png
    cells: int  # places on the sheet

    def text(self) -> str:
        """Return a summary of one or two lines."""
        names = self.spec.class_names
        of_class = ""
        if self.label is not None:
            of_class = f", class {self.label}" + (f" ({names[self.label]})" if names else ",")
        text = f"{self.images:,} images of {self.spec.size}{of_class} in {self.folder or 'stdout'}"
        if self.found is not None:
            text += f", {self.found:,} of them were already there"
        if self.sheet is not None:
            text += f"\nsheet {self.sheet}"
            text += f": {self.images:,} images for {self.cells:,} places" if self.images < self.cells else ""
        return text


def generate(engine: Path, request: Request) -> Generated:
    """Write the images of `request` with `engine`, and grid.png if `request.grid` is set.

    Raises UsageError for an invalid request, before any work, and GantoolError if the engine fails.
    """
    target, seeds, sheet = _target(request), _seeds(request), Sheet.of(request)
    _check_raw(request, target)
    with Generator.load(engine, request.provider, request.threads) as generator:
        spec = generator.spec
        _check_transparency(request, target, spec)
        sheet.check(spec)
        _note(request, generator, len(seeds))
        settings = {"batch": request.batch, "truncation": request.truncation, "label": request.label}
        stream: Callable[[Iterable[int]], Batches] = partial(generator.stream, **settings)  # type: ignore[arg-type]
        stream([])  # raises UsageError for invalid arguments before any work
        if request.background is not None:
            stream, spec = _laid(stream, colour(request.background)), replace(spec, channels=3)
        output = OUTPUTS[target.format](target, seeds, spec)
        if target.format != "-":
            target.folder.mkdir(parents=True, exist_ok=True)
        if request.resume:
            check_same(output, lambda seed: next(stream([seed]))[1][0])
        if target.format == "-":
            _log.info("raw frames of %s, uint8; to play them:\n%s", spec.size, _players(spec))
        cells = sheet.cells
        first = _write(output, stream, seeds, request, 0 if request.resume else cells)
        path = None
        if cells and len(seeds):
            if request.resume:
                first = [images for _, images in stream(islice(seeds, cells))]
            path = target.folder / f"grid{target.part}.png"
            names = [Path(image_name(seed, target.encoding)).stem for seed in islice(seeds, cells)]
            sheet.save(path, np.concatenate(first), names)
        label = class_number(request.label, spec.class_names)
        place = None if target.format == "-" else target.folder
        found = output.found if request.resume else None
        return Generated(place, len(seeds), found, spec, label, path, cells)


def _write(
    output: Output, stream: Callable[[Iterable[int]], Batches], seeds: Seeds, request: Request, keep: int
) -> list[Images]:
    """Write the pending images; return the first `keep` of them. If it ends early, log how many are written."""
    first: list[Images] = []
    try:
        pending = output.pending() if request.resume else iter(seeds)
        with (
            task("generating", len(seeds), "images") as made,
            stop_signals() as stopping,
            output.open() as write,
        ):
            for batch, images in stream(pending):
                write(batch, images)
                if (more := keep - sum(map(len, first))) > 0:
                    first.append(images[:more].copy())  # a view would keep the whole batch in memory
                made.update(output.written + output.found)
                if stopping:
                    raise KeyboardInterrupt
    except BaseException as error:
        count = output.written + output.found
        kept = f"{count:,} of {len(seeds):,} images are" if count else "nothing is"
        again = "; `resume` makes the rest" if count and _place(request) != "stdout" else ""
        if again or isinstance(error, (KeyboardInterrupt, OSError)):  # OSError: a full disk, for example
            _log.warning("%s in %s%s", kept, _place(request), again)
        raise
    return first


def _target(request: Request) -> Target:
    """Return where and how images are written. Raises UsageError for options that contradict each other."""
    name = request.format
    if str(request.out) == "-":
        if name not in (None, "-"):
            raise UsageError(f"`out` - writes raw frames to stdout, `format` {name} writes files: choose one")
        name = "-"
    part = "" if request.shard is None else "-{}of{}".format(*parse_shard(request.shard))
    return Target(
        request.out,
        name or "png",
        request.level,
        request.quality,
        thread_count(request.encoders),
        request.shard_size,
        part,
    )


def _seeds(request: Request) -> Seeds:
    seeds = parse_seeds(request.seeds)
    return seeds if request.shard is None else shard(seeds, *parse_shard(request.shard))


def _check_transparency(request: Request, target: Target, spec: Spec) -> None:
    """Raise UsageError for a format without transparency, or for a background that nothing would show."""
    if spec.channels != 4 and request.background is not None:
        raise UsageError(
            f"`background` {request.background} is for transparent images: this engine makes images of {spec.size}"
        )
    if spec.channels == 4 and target.format == "jpg" and request.background is None:
        raise UsageError(
            "`format` jpg has no transparency: choose png or webp, or lay the images on a colour with `background` "
            "white"
        )


def _laid(stream: Callable[[Iterable[int]], Batches], ground: Colour) -> Callable[[Iterable[int]], Batches]:
    """Return a stream whose images, uint8 [n, H, W, 3], lie on a colour."""
    return lambda seeds: ((batch, over_colour(images, ground)) for batch, images in stream(seeds))


def _check_raw(request: Request, target: Target) -> None:
    """Raise UsageError if raw frames have nowhere to go, or if an option does not work with them."""
    if target.format != "-":
        return
    if sys.stdout is None:
        raise UsageError("raw frames go to stdout, which is closed: give a folder with `out`")
    if sys.stdout.isatty():
        raise UsageError("raw frames go to a program, not to a terminal: | ffplay -f rawvideo ...")
    if request.grid is not None:
        raise UsageError("`grid` does not work with raw frames: write the sheet in a separate run")
    if request.resume:
        raise UsageError("`resume` is for files, not for raw frames")


def _note(request: Request, generator: Generator, count: int) -> None:
    """Log a provider or a truncation that the user may not expect."""
    if request.provider == "auto" and "OpenVINO" in generator.name:
        _log.info("running on %s", generator.name)
    if request.truncation == 0 and count > 1:
        of = "" if generator.spec.classes == 0 or request.label is not None else " of a class"
        _log.warning("note: with `truncation` 0 the images of all seeds%s are the same", of)


def _place(request: Request) -> str:
    return "stdout" if "-" in (str(request.out), request.format) else str(request.out)


def _players(spec: Spec) -> str:
    """Return commands that play raw frames; each begins with a pipe."""
    ffmpeg, gstreamer = {1: ("gray", "gray8"), 3: ("rgb24", "rgb"), 4: ("rgba", "rgba")}[spec.channels]
    size = f"width={spec.width} height={spec.height}"
    return (
        f"  | ffplay -f rawvideo -pixel_format {ffmpeg} -video_size {spec.width}x{spec.height} -framerate 25 -\n"
        f"  | gst-launch-1.0 fdsrc ! rawvideoparse {size} format={gstreamer} framerate=25/1 ! videoconvert "
        "! autovideosink"
    )

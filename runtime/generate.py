"""`gantool generate`: write the images of seeds to disk or stdout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.colours import Colour, colour
from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.items import Item, Items
from gantool.runtime.latents import check_truncation, check_z, latents, moved, rows_of
from gantool.runtime.outputs.base import Output, Target
from gantool.runtime.outputs.dataset_json import labels_file
from gantool.runtime.outputs.encoding import BITS_16, ENCODINGS
from gantool.runtime.outputs.folder import DEFAULT, folder_for, refuse_others
from gantool.runtime.outputs.formats import OUTPUTS, check_same
from gantool.runtime.outputs.images import over_colour
from gantool.runtime.outputs.mark_file import write_marks
from gantool.runtime.outputs.raw import NO_MARK, check_stdout, players
from gantool.runtime.outputs.sheet import Sheet
from gantool.runtime.outputs.z_file import read_z, write_z
from gantool.runtime.process.pool import thread_count
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.progress import task
from gantool.runtime.provenance.c2pa import Sign, signing
from gantool.runtime.provenance.marker import Marker, ZOf
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.provenance.signature import require
from gantool.runtime.request import Request
from gantool.runtime.selection import Selection, seeds_of, select
from gantool.runtime.shards import of_other_count, part_name
from gantool.runtime.spec import Images, Latents, Spec

Batches = Iterator[tuple[list[Item], Images]]  # items, and their images, [n, H, W, C]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generated:
    """The result of `generate`."""

    folder: Path | None  # None: stdout
    images: int  # written or found: all that were requested
    found: int | None  # how many of them an earlier run had written; None without `resume`
    spec: Spec  # of the engine
    classes: tuple[int, ...]  # each seed was made in each of them; (): each has a class of its own, or none
    sheet: Path | None  # grid.png
    cells: int  # places on the sheet
    wanted: Path  # the folder, if it does not have some of the images already

    def text(self) -> str:
        """Return a summary of one or two lines."""
        text = f"{self.images:,} images of {self.spec.size}{self._of_classes()} in {self.folder or 'stdout'}"
        if self.found is not None:
            text += f", {self.found:,} of them were already there"
        elif self.folder not in (None, self.wanted):
            text += f", because {self.wanted} already has some of them"
        if self.sheet is not None:
            text += f"\nsheet {self.sheet}"
            text += f": {self.images:,} images for {self.cells:,} places" if self.images < self.cells else ""
        return text

    def _of_classes(self) -> str:
        if len(self.classes) > 1:
            return f" of {len(self.classes):,} classes"
        names = self.spec.class_names
        return "".join(
            f", class {label} ({names[label]})" if names else f", class {label}," for label in self.classes
        )


def generate(engine: Path, request: Request) -> Generated:
    """Write the images of `request` with `engine`, and grid.png if `request.grid` is set.

    Raises UsageError for an invalid request, before any work, and GantoolError if the engine fails.
    """
    target, sheet = _target(request), Sheet.of(request)
    rows_of_z = None if request.z is None else read_z(request.z)
    seeds = seeds_of(request, 0 if rows_of_z is None else len(rows_of_z))
    _check_raw(request, target)
    require([engine], request.require_signature)
    with Generator.load(engine, request.provider, request.threads) as generator:
        spec = generator.spec
        _check_pixels(request, target, spec)
        sheet.check(spec)
        z_of = _z_of(request, spec, rows_of_z)
        selected = select(request, seeds, spec)
        items = selected.items
        _note(request, generator, items)
        stream: Callable[[Iterable[Item]], Batches] = partial(_stream, generator, z_of, request.batch)
        stream(())  # raises UsageError for an invalid batch before any work
        if request.background is not None:
            stream, spec = _laid(stream, colour(request.background)), replace(spec, channels=3)
        target = _placed(request, target, selected, spec)
        if target.format != "-":
            target = replace(target, marker=_marker(request, engine, generator, z_of))
        if target.marker and len(items):
            target.marker.packet(items[0])  # raises UsageError for one that is too long, before any work
        output = OUTPUTS[target.format](target, items, spec)
        if request.resume:
            check_same(output, lambda item: next(stream([item]))[1][0])
        if target.format == "-":
            commands = players(spec.height, spec.width, spec.channels, spec.bits)
            _log.info("raw frames of %s, uint%d; to play them:\n%s", spec.size, spec.bits, commands)
            if request.mark != "none":
                _log.info(NO_MARK)
        else:
            target.folder.mkdir(parents=True, exist_ok=True)
            if labels := labels_file(target, items, selected.every, spec):
                labels.write(target.folder)
            if request.dump_z:
                write_z(target.folder / _z_name(target), items, z_of, spec.latent)
        cells = sheet.cells
        first = _write(output, target, stream, items, request, 0 if request.resume else cells)
        if target.marker and target.format == "npy":
            write_marks(target.folder / f"images{target.part}.npy.json", items, target.marker)
        path = None
        if cells and len(items):
            if request.resume:
                first = [images for _, images in stream(items.part(0, cells))]
            path = target.folder / _sheet_name(target)
            shown = list(items.part(0, cells))
            names = [item.name for item in shown]
            sheet.save(path, np.concatenate(first), names, partial(target.encode_sheet, shown))
        place = None if target.format == "-" else target.folder
        found = output.found if request.resume else None
        return Generated(place, len(items), found, spec, items.classes, path, cells, request.out or DEFAULT)


def _z_of(request: Request, spec: Spec, rows: NDArray[Any] | None) -> ZOf:
    """Return the function that computes the z of items, or reads it. Raises UsageError."""
    check_truncation(request.truncation, request.resample, spec.distribution)
    shift = _shift(request, spec)
    if rows is not None:
        array = check_z(rows, spec.latent)
        return lambda items: moved(rows_of(array, [item.seed for item in items]), shift)
    how = (spec.latent, spec.distribution, request.truncation, request.resample)
    return lambda items: moved(latents((item.seed for item in items), *how), shift)


def _marker(request: Request, engine: Path, generator: Generator, z_of: ZOf) -> Marker | None:
    """Return what marks the images of `engine`, which `generator` runs; None if they shall have no marks."""
    if request.mark == "none":
        return None
    record = replace(
        Origin.of(engine).record(generator.name),
        truncation=request.truncation,
        resample=request.resample,
        direction=request.direction,
        background=request.background,
    )
    without_seeds = request.z is not None or request.direction
    shown_z = z_of if without_seeds else None
    return Marker(record, request.credit, request.aigc, shown_z, generator.spec.authorship)


def _shift(request: Request, spec: Spec) -> Latents | np.float32:
    """Return what `direction` adds to z: float32 [latent], or 0."""
    if not request.direction:
        return np.float32(0)
    from gantool.runtime.directions import Directions, parse_step  # here, so that every run starts faster

    steps = [parse_step(text) for text in request.direction]
    return Directions.load(request.directions).shift(steps, spec.latent)


def _stream(generator: Generator, z_of: ZOf, batch: int | None, items: Iterable[Item]) -> Batches:
    """Yield batches of items with their images."""
    return generator.run(((item, item.label) for item in items), z_of, batch)


def _placed(request: Request, target: Target, selected: Selection, spec: Spec) -> Target:
    """Return the target with its folder. Raises UsageError if it has some of the images already."""
    if target.format == "-":
        return target
    labels = labels_file(target, selected.items, selected.every, spec)

    def taken(folder: Path) -> Path | None:
        output = OUTPUTS[target.format](replace(target, folder=folder), selected.items, spec)
        extra = [folder / _sheet_name(target)] if request.grid is not None else []
        extra += [folder / _z_name(target)] if request.dump_z else []
        found = output.existing() or next((path for path in extra if path.exists()), None)
        others = of_other_count(folder, target.part)
        return found or others or (labels.other_classes(folder) if labels else None)

    if request.out is not None:  # first, since to resume would not help
        refuse_others(request, labels, request.out)
    folder = folder_for(request.out, taken, resume=request.resume, force=request.force)
    refuse_others(request, labels, folder)
    return replace(target, folder=folder)


def _z_name(target: Target) -> str:
    return f"z{target.part}.npy"


def _sheet_name(target: Target) -> str:
    return f"grid{target.part}.png"


def _write(
    output: Output,
    target: Target,
    stream: Callable[[Iterable[Item]], Batches],
    items: Items,
    request: Request,
    keep: int,
) -> list[Images]:
    """Write the pending images; return the first `keep` of them. If it ends early, log how many are written."""
    first: list[Images] = []
    try:
        pending = output.pending() if request.resume else iter(items)
        with (
            task("generating", len(items), "images") as made,
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
        place = "stdout" if target.format == "-" else str(target.folder)
        kept = f"{count:,} of {len(items):,} images are" if count else "nothing is"
        again = "; `resume` makes the rest" if count and place != "stdout" else ""
        if again or isinstance(error, (KeyboardInterrupt, OSError)):  # OSError: a full disk, for example
            _log.warning("%s in %s%s", kept, place, again)
        raise
    return first


def _target(request: Request) -> Target:
    """Return where and how images are written. Raises UsageError for options that contradict each other."""
    name = request.format
    if str(request.out) == "-":
        if name not in (None, "-"):
            raise UsageError(f"`out` - writes raw frames to stdout, `format` {name} writes files: choose one")
        name = "-"
    if request.mark == "c2pa" and name in ("npy", "-"):
        raise UsageError(f"`mark` c2pa signs files of images, `format` {name} has none: choose png or tar")
    return Target(
        request.out or DEFAULT,
        name or "png",
        request.level,
        request.quality,
        thread_count(request.encoders),
        request.shard_size,
        part_name(request.shard),
        sign=_sign(request),
    )


def _sign(request: Request) -> Sign | None:
    """Return what signs the images; None if they shall not be signed. Raises GantoolError for a wrong signer."""
    if request.c2pa_cert is None or request.c2pa_key is None:
        return None
    return signing(request.c2pa_cert, request.c2pa_key)


def _check_pixels(request: Request, target: Target, spec: Spec) -> None:
    """Raise UsageError for a format that does not hold the pixels, or for a background that nothing would show."""
    if spec.channels != 4 and request.background is not None:
        raise UsageError(
            f"`background` {request.background} is for transparent images: this engine makes images of {spec.size}"
        )
    if spec.channels == 4 and target.format == "jpg" and request.background is None:
        raise UsageError(
            "`format` jpg has no transparency: choose png or webp, or lay the images on a colour with `background` "
            "white"
        )
    if spec.bits == 16 and target.format in ENCODINGS and target.format not in BITS_16:
        raise UsageError(
            f"`format` {target.format} holds 8 bits, and this generator makes grey levels of 16: choose "
            f"{', '.join(BITS_16)} or npy"
        )


def _laid(stream: Callable[[Iterable[Item]], Batches], ground: Colour) -> Callable[[Iterable[Item]], Batches]:
    """Return a stream whose images, uint8 [n, H, W, 3], lie on a colour."""
    return lambda items: ((batch, over_colour(images, ground)) for batch, images in stream(items))


def _check_raw(request: Request, target: Target) -> None:
    """Raise UsageError if raw frames have nowhere to go, or if an option does not work with them."""
    if target.format != "-":
        return
    check_stdout("folder")
    if request.grid is not None:
        raise UsageError("`grid` does not work with raw frames: write the sheet in a separate run")
    for name, given in (("resume", request.resume), ("dump_z", request.dump_z)):
        if given:
            raise UsageError(f"`{name}` is for files, not for raw frames")


def _note(request: Request, generator: Generator, items: Items) -> None:
    """Log a provider or a truncation that the user may not expect."""
    if request.provider == "auto" and "OpenVINO" in generator.name:
        _log.info("running on %s", generator.name)
    if request.truncation == 0 and len(items) > 1:
        of = "" if generator.spec.classes == 0 or len(items.classes) == 1 else " of a class"
        _log.warning("note: with `truncation` 0 the images of all seeds%s are the same", of)

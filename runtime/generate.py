"""From flags to images on disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, tee
from pathlib import Path
from typing import Any

import numpy as np
import typer

from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.formats import FORMATS
from gantool.runtime.outputs.writer import Shard, Target, Written, grid, save_image, split, writer
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.process.terminal import bare
from gantool.runtime.seeds import Seeds, class_number, parse_seeds, parse_shard, shard
from gantool.runtime.spec import Images, Spec

MAX_SHEET = 1 << 26  # pixels: 8,192 a side


@dataclass(frozen=True)
class Choice:
    """Which images of an engine."""

    seeds: str = "0-63"
    shard: str | None = None  # "3/16"
    batch: int | None = None
    truncation: float = 1.0
    label: str | None = None  # the name of a class, or its number


def generate(
    engine: Path,
    provider: str,
    threads: int | None,
    choice: Choice,
    target: Target,
    grid_text: str | None,
    resume: bool,
) -> None:
    """Run `gantool generate`: write what `target` says, and grid.png if asked for."""
    seeds, target = _shard(parse_seeds(choice.seeds), choice.shard, target)
    columns, rows = (0, 0) if grid_text is None else parse_grid(grid_text)
    raw = target.format == "-"
    if raw:
        _check_raw(bool(columns), resume)
    how: dict[str, Any] = {"batch": choice.batch, "truncation": choice.truncation, "label": choice.label}
    with Generator.load(engine, provider, threads) as generator:
        spec = generator.spec
        check_grid(grid_text, columns, rows, spec)
        if provider == "auto" and "OpenVINO" in generator.name:
            typer.echo(f"with {generator.name}", err=True)
        if choice.truncation == 0 and len(seeds) > 1:
            of = "" if spec.classes == 0 or choice.label is not None else " of a class"
            typer.echo(f"note: with --trunc 0 the images of all seeds{of} are the same", err=True)
        generator.generate([], **how)  # refuses what it cannot do before any work
        if raw:
            typer.echo(f"{_size(spec)}, uint8; play them with\n{_players(spec)}", err=True)
        else:
            target.folder.mkdir(parents=True, exist_ok=True)
        if resume:
            from gantool.runtime.outputs.resume import check_same

            check_same(target, seeds, generator, truncation=choice.truncation, label=choice.label)
        written, sheet = _write(generator, how, seeds, target, resume, 0 if resume else columns * rows)
        found = f", {written.found:,} of them were there" if resume else ""
        of_class = _of_class(choice.label, spec)
        typer.echo(f"{len(seeds):,} images of {_size(spec)}{of_class} in {_place(target)}{found}", err=raw)
        if columns and len(seeds):
            if resume:
                sheet = [generator.images(islice(seeds, columns * rows), **how)]
            path = target.folder / f"grid{target.part}.png"
            save_image(path, grid(np.concatenate(sheet), columns))
            empty = columns * rows - min(len(seeds), columns * rows)
            short = f": {len(seeds):,} images for {columns * rows:,} places" if empty else ""
            typer.echo(f"sheet {path}{short}")


def _check_raw(sheet: bool, resume: bool) -> None:
    """Raise UsageError for what does not go with raw frames."""
    if sys.stdout is None:
        raise UsageError("raw frames go to stdout, which is closed: give a folder with --out")
    if sys.stdout.isatty():
        raise UsageError("raw frames go to a program, not to a terminal: | ffplay -f rawvideo ...")
    if sheet:
        raise UsageError("--grid is a file beside others: make it in a run of its own, not with raw frames")
    if resume:
        raise UsageError("--resume is for files, not for raw frames")


def _write(
    generator: Generator, how: dict[str, Any], seeds: Seeds, target: Target, resume: bool, keep: int
) -> tuple[Written, list[Images]]:
    """Write the images; return how many, and batches that hold the first `keep` of them.

    Where it ends early, what is there is said first.
    """
    written, sheet, spec = Written(), list[Images](), generator.spec
    todo, of_writer = _todo(target, seeds, spec, written, resume)
    batches = generator.generate(todo, **how)
    try:
        with stop_signals() as stopping, writer(target, of_writer, len(seeds), spec, written) as write:
            for images in _with_progress(batches, len(seeds), written):
                write(images)
                if (more := keep - sum(map(len, sheet))) > 0:
                    sheet.append(images[:more].copy())  # a view would keep the whole batch
                if stopping:
                    raise KeyboardInterrupt
    except BaseException as error:
        count = written.images + written.found
        kept = f"{count:,} of {len(seeds):,} images are" if count else "nothing is"
        again = "; --resume makes the rest" if count and target.format != "-" else ""
        if again or isinstance(error, (KeyboardInterrupt, OSError)):  # a full disk among them
            typer.echo(f"{kept} in {_place(target)}{again}", err=True)
        raise
    return written, sheet


def parse_grid(text: str) -> tuple[int, int]:
    """Read `8x4`, columns by rows."""
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", text)
    if not match:
        raise UsageError(f"--grid {text}: write columns by rows, as in 8x8")
    return int(match[1]), int(match[2])


def check_grid(text: str | None, columns: int, rows: int, spec: Spec) -> None:
    """Raise UsageError for a sheet that is too large to be held and looked at."""
    if columns * rows * spec.height * spec.width > MAX_SHEET:
        size = f"{columns * spec.width:,}×{rows * spec.height:,}"
        raise UsageError(f"--grid {text}: a sheet of {size} pixels is too large: give fewer columns or rows")


def _shard(seeds: Seeds, text: str | None, target: Target) -> tuple[Seeds, Target]:
    if text is None:
        return seeds, target
    index, count = parse_shard(text)
    return shard(seeds, index, count), replace(target, part=f"-{index}of{count}")


def _todo(
    target: Target, seeds: Seeds, spec: Spec, written: Written, resume: bool
) -> tuple[Iterator[int], Iterator[int] | Iterator[Shard]]:
    """Return the seeds whose images are to be made, for the engine; and these, or the shards, for the writer.

    Both come from one walk: the engine is ahead of the writer by a few batches, or by a shard, and no more.
    """
    if resume:
        from gantool.runtime.outputs.resume import missing_rows, missing_seeds, missing_shards
    if target.format == "tar":
        shards = missing_shards(target, seeds, spec, written) if resume else split(target, seeds)
        first, second = tee(shards)
        return chain.from_iterable(item.seeds for item in first), second
    if target.format not in FORMATS:  # one file of all asks for no names, and a tee would keep all
        return missing_rows(target, seeds, spec, written) if resume else iter(seeds), iter(())
    one, other = tee(missing_seeds(target, seeds, spec, written) if resume else iter(seeds))
    return one, other


def _with_progress(batches: Iterator[Images], total: int, written: Written) -> Iterator[Images]:
    """Show a bar on stderr if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: closed, as a daemon does
        yield from batches
        return
    made = 0
    with typer.progressbar(length=total, label="generating", file=bare(sys.stderr)) as bar:
        for images in batches:
            yield images
            made += len(images)
            bar.update(made + written.found - bar.pos)


def _size(spec: Spec) -> str:
    return f"{spec.height}×{spec.width}×{spec.channels}"


def _of_class(label: str | None, spec: Spec) -> str:
    number = class_number(label, spec.class_names)
    if number is None:
        return ""
    return f", class {number} ({spec.class_names[number]})" if spec.class_names else f", class {number},"


def _place(target: Target) -> str:
    return "stdout" if target.format == "-" else str(target.folder)


def _players(spec: Spec) -> str:
    """Return the lines that play raw frames, each to come after a pipe."""
    ffmpeg, gstreamer = ("gray", "gray8") if spec.channels == 1 else ("rgb24", "rgb")
    size = f"width={spec.width} height={spec.height}"
    return (
        f"  | ffplay -f rawvideo -pixel_format {ffmpeg} -video_size {spec.width}x{spec.height} -framerate 25 -\n"
        f"  | gst-launch-1.0 fdsrc ! rawvideoparse {size} format={gstreamer} framerate=25/1 ! videoconvert "
        "! autovideosink"
    )

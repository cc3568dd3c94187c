"""`gantool generate`: from seeds to images on disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import typer

from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.base import Output, Target
from gantool.runtime.outputs.formats import OUTPUTS, check_same
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.images import grid
from gantool.runtime.process.pool import thread_count
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.process.terminal import bare
from gantool.runtime.request import Request
from gantool.runtime.seeds import Seeds, class_number, parse_seeds, parse_shard, shard
from gantool.runtime.spec import Images, Spec

MAX_SHEET = 1 << 26  # pixels: 8,192 a side
Batches = Iterator[tuple[list[int], Images]]  # seeds, and their images, uint8 [n, H, W, C]


def generate(engine: Path, request: Request) -> None:
    """Write the images of `engine` that `request` asks for, and grid.png if it asks for one.

    Raises UsageError for a request that cannot be met, before any work, and GantoolError where the engine fails.
    """
    target, seeds, (columns, rows) = _target(request), _seeds(request), _parse_grid(request.grid)
    _check_raw(request, target)
    with Generator.load(engine, request.provider, request.threads) as generator:
        spec = generator.spec
        _check_grid(request.grid, columns, rows, spec)
        _note(request, generator, len(seeds))
        how = {"batch": request.batch, "truncation": request.truncation, "label": request.label}
        stream: Callable[[Iterable[int]], Batches] = partial(generator.stream, **how)  # type: ignore[arg-type]
        stream([])  # refuses what it cannot do before any work
        output = OUTPUTS[target.format](target, seeds, spec)
        if target.format != "-":
            target.folder.mkdir(parents=True, exist_ok=True)
        if request.resume:
            check_same(output, lambda seed: next(stream([seed]))[1][0])
        if target.format == "-":
            typer.echo(f"{_size(spec)}, uint8; play them with\n{_players(spec)}", err=True)
        cells = columns * rows
        first = _write(output, stream, seeds, request, 0 if request.resume else cells)
        found = f", {output.found:,} of them were already there" if request.resume else ""
        made = f"{len(seeds):,} images of {_size(spec)}{_of_class(request.label, spec)}"
        typer.echo(f"{made} in {_place(request)}{found}", err=target.format == "-")
        if cells and len(seeds):
            if request.resume:
                first = [images for _, images in stream(islice(seeds, cells))]
            path = target.folder / f"grid{target.part}.png"
            save_image(path, grid(np.concatenate(first), columns))
            short = f": {len(seeds):,} images for {cells:,} places" if len(seeds) < cells else ""
            typer.echo(f"sheet {path}{short}")


def _write(
    output: Output, stream: Callable[[Iterable[int]], Batches], seeds: Seeds, request: Request, keep: int
) -> list[Images]:
    """Write what is pending; return the first `keep` images. Say what is there if it ends early."""
    first: list[Images] = []
    try:
        pending = output.pending() if request.resume else iter(seeds)
        with stop_signals() as stopping, output.open() as write:
            for batch, images in _with_progress(stream(pending), len(seeds), output):
                write(batch, images)
                if (more := keep - sum(map(len, first))) > 0:
                    first.append(images[:more].copy())  # a view would keep the whole batch
                if stopping:
                    raise KeyboardInterrupt
    except BaseException as error:
        count = output.written + output.found
        kept = f"{count:,} of {len(seeds):,} images are" if count else "nothing is"
        again = "; --resume makes the rest" if count and _place(request) != "stdout" else ""
        if again or isinstance(error, (KeyboardInterrupt, OSError)):  # a full disk among them
            typer.echo(f"{kept} in {_place(request)}{again}", err=True)
        raise
    return first


def _with_progress(batches: Batches, total: int, output: Output) -> Batches:
    """Show a bar on stderr if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: closed, as a daemon does
        yield from batches
        return
    made = 0
    with typer.progressbar(length=total, label="generating", file=bare(sys.stderr)) as bar:
        for seeds, images in batches:
            yield seeds, images
            made += len(images)
            bar.update(made + output.found - bar.pos)


def _target(request: Request) -> Target:
    """Return where images go. Raises UsageError for flags that contradict each other."""
    name = request.format
    if str(request.out) == "-":
        if name not in (None, "-"):
            raise UsageError(f"`out` - is raw frames to stdout, `format` {name} is files: choose one")
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


def _parse_grid(text: str | None) -> tuple[int, int]:
    """Read `8x4`, columns by rows; (0, 0) for None."""
    if text is None:
        return 0, 0
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", text)
    if not match:
        raise UsageError(f"`grid` {text}: write columns by rows, as in 8x8")
    return int(match[1]), int(match[2])


def _check_grid(text: str | None, columns: int, rows: int, spec: Spec) -> None:
    """Raise UsageError for a sheet that is too large for memory and for viewers."""
    if columns * rows * spec.height * spec.width > MAX_SHEET:
        size = f"{columns * spec.width:,}×{rows * spec.height:,}"
        raise UsageError(f"`grid` {text}: a sheet of {size} pixels is too large: give fewer columns or rows")


def _check_raw(request: Request, target: Target) -> None:
    """Raise UsageError for raw frames that cannot be what the user wants."""
    if target.format != "-":
        return
    if sys.stdout is None:
        raise UsageError("raw frames go to stdout, which is closed: give a folder with `out`")
    if sys.stdout.isatty():
        raise UsageError("raw frames go to a program, not to a terminal: | ffplay -f rawvideo ...")
    if request.grid is not None:
        raise UsageError(
            "`grid` writes a file beside others: make it in a run of its own, not with raw frames"
        )
    if request.resume:
        raise UsageError("`resume` is for files, not for raw frames")


def _note(request: Request, generator: Generator, count: int) -> None:
    """Say on stderr what the user may not expect."""
    if request.provider == "auto" and "OpenVINO" in generator.name:
        typer.echo(f"with {generator.name}", err=True)
    if request.truncation == 0 and count > 1:
        of = "" if generator.spec.classes == 0 or request.label is not None else " of a class"
        typer.echo(f"note: with --trunc 0 the images of all seeds{of} are the same", err=True)


def _size(spec: Spec) -> str:
    return f"{spec.height}×{spec.width}×{spec.channels}"


def _of_class(label: str | None, spec: Spec) -> str:
    number = class_number(label, spec.class_names)
    if number is None:
        return ""
    return f", class {number} ({spec.class_names[number]})" if spec.class_names else f", class {number},"


def _place(request: Request) -> str:
    return "stdout" if "-" in (str(request.out), request.format) else str(request.out)


def _players(spec: Spec) -> str:
    """Return the commands that play raw frames, each to be put behind a pipe."""
    ffmpeg, gstreamer = ("gray", "gray8") if spec.channels == 1 else ("rgb24", "rgb")
    size = f"width={spec.width} height={spec.height}"
    return (
        f"  | ffplay -f rawvideo -pixel_format {ffmpeg} -video_size {spec.width}x{spec.height} -framerate 25 -\n"
        f"  | gst-launch-1.0 fdsrc ! rawvideoparse {size} format={gstreamer} framerate=25/1 ! videoconvert "
        "! autovideosink"
    )

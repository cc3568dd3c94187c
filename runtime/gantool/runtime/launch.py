"""From flags to images on disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import typer

from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.seeds import parse_seeds
from gantool.runtime.signals import stop_signals
from gantool.runtime.spec import Images
from gantool.runtime.writer import WRITERS, grid, save_image


def generate(
    engine: Path,
    seeds_text: str,
    out: Path,
    grid_text: str | None,
    batch: int | None,
    truncation: float,
    file_format: str,
    provider: str,
    label: int | None,
) -> None:
    """Run `gantool generate`: write seed0000.png ... or images.npy to `out`, and grid.png if asked for."""
    seeds = parse_seeds(seeds_text)
    columns, rows = (0, 0) if grid_text is None else parse_grid(grid_text)
    if file_format not in WRITERS:
        raise UsageError(f"--format {file_format}: choose {' or '.join(WRITERS)}")
    with Generator.load(engine, provider) as generator:
        batches = generator.generate(seeds, batch, truncation, label)
        out.mkdir(parents=True, exist_ok=True)
        sheet: list[Images] = []  # of the first columns * rows seeds
        done = 0
        try:
            with stop_signals() as stopping, WRITERS[file_format](out, seeds, generator.spec) as write:
                for images in _with_progress(batches, len(seeds)):
                    write(images)
                    if done < columns * rows:  # a copy, since a view would keep the whole batch
                        sheet.append(images[: columns * rows - done].copy())
                    done += len(images)
                    if stopping:
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            kept = f"{done:,} of {len(seeds):,} images are" if file_format == "png" else "nothing is"
            typer.echo(f"{kept} in {out}", err=True)
            raise
        typer.echo(f"{len(seeds):,} images of {_size(generator)} in {out}")
        if columns:
            save_image(out / "grid.png", grid(np.concatenate(sheet), columns))
            typer.echo(f"sheet {out / 'grid.png'}")


def parse_grid(text: str) -> tuple[int, int]:
    """Read `8x4`, columns by rows."""
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", text)
    if not match:
        raise UsageError(f"--grid {text}: write columns by rows, as in 8x8")
    return int(match[1]), int(match[2])


def _with_progress(batches: Iterator[Images], total: int) -> Iterator[Images]:
    """Show a bar on stderr if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: closed, as a daemon does
        yield from batches
        return
    with typer.progressbar(length=total, label="generating", file=sys.stderr) as bar:
        for images in batches:
            yield images
            bar.update(len(images))


def _size(generator: Generator) -> str:
    spec = generator.spec
    return f"{spec.height}×{spec.width}×{spec.channels}"

"""`gantool verify`: run the same seeds through files, and compare their images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gantool.export.artifact_files import resolve_file, training_difference, training_metadata
from gantool.export.packaging import bundle
from gantool.export.precision.psnr import MIN_PSNR, ROUNDING, Parity, compare
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import EngineMismatchError, GantoolError, UsageError, VerificationError
from gantool.runtime.generator import Generator
from gantool.runtime.progress import track
from gantool.runtime.seeds import Seed, parse_seeds
from gantool.runtime.spec import Images

CLASSES = 20  # named at most


@dataclass(frozen=True)
class Row:
    """One file with its images, or the reason why it cannot run here."""

    path: Path
    precision: str
    images: Images | None = None
    batch_difference: int = 0  # grey levels, between batches of 3 and the default batch
    reason: str = ""
    classes: tuple[str, ...] = ()  # names


@dataclass(frozen=True)
class Agreement:
    """The images of one file compared with those of the first file that runs."""

    file: Path
    precision: str  # fp32, fp16, bf16 or int8
    parity: Parity | None  # None: see `note`
    batch_difference: int  # grey levels by which a seed's image changes with its batch
    note: str  # the reason why there is no parity
    problem: str  # "" if it agrees
    min_psnr: float  # dB that the worst image must reach
    images: Images | None = field(default=None, repr=False, compare=False)  # None: it cannot run here

    def to_json(self) -> dict[str, Any]:
        """Return a row of `gantool verify --json`."""
        row: dict[str, Any] = {"file": str(self.file), "precision": self.precision}
        if self.parity is None:
            return {**row, "psnr": None, "max_difference": None, "batch": None, "note": self.note}
        psnr = None if math.isinf(self.parity.psnr) else round(self.parity.psnr, 1)
        numbers = {"psnr": psnr, "max_difference": self.parity.max_difference, "batch": self.batch_difference}
        return {**row, **numbers, "note": ""}


@dataclass(frozen=True)
class Comparison:
    """All files compared with the first one that runs here."""

    rows: tuple[Agreement, ...]
    compared: int  # number of files that run here
    classes: tuple[str, ...]  # names
    seeds: Sequence[Seed] = ()  # of the images

    @property
    def reference(self) -> Agreement | None:
        """The first file that runs here, which the others were compared with; None if none does."""
        return next((row for row in self.rows if row.images is not None), None)

    def check(self) -> None:
        """Raise VerificationError if they disagree, and EngineMismatchError if fewer than two run here."""
        if self.compared < 2:
            raise EngineMismatchError("fewer than two of these files run here, so nothing was compared")
        if wrong := [f"{row.file}: {row.problem}" for row in self.rows if row.problem]:
            raise VerificationError(f"they disagree: {'; '.join(wrong)}")

    def table(self) -> str:
        """Return the rows as a table for people."""
        rows = [row.to_json() for row in self.rows]
        width = max(len(row["file"]) for row in rows)
        lines = [f"{'file':<{width}}  precision  worst PSNR  largest difference  batch changes"]
        for row in rows:
            psnr = "equal" if row["psnr"] is None else f"{row['psnr']} dB"
            text = row["note"] or f"{psnr:>10}  {row['max_difference']:>18}  {row['batch']:>13}"
            lines.append(f"{row['file']:<{width}}  {row['precision']:<9}  {text}")
        if names := self.classes:
            more = " ..." if len(names) > CLASSES else ""
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names[:CLASSES]))
            lines.append(f"classes, by seed mod {len(names)}: {listed}{more}")
        return "\n".join(lines)


def verify(
    files: Sequence[str | PathLike[str]], seeds: str = "0-63", min_psnr: float | None = None
) -> Comparison:
    """Run the same seeds through files, and compare the images of each with those of the first that runs.

    files:    checkpoints, runs, graphs, plans, bundles
    min_psnr: dB that the worst image must reach; None: by precision, FP32 50, FP16 40, BF16 30, INT8 30

    Raises UsageError for fewer than two files, and GantoolError for a damaged file.
    """
    if len(files) < 2:
        raise UsageError("verify compares files: give two or more")
    numbers = list(parse_seeds(seeds))
    rows = [_run(resolve_file(Path(path)), numbers) for path in track(files, "running", len(files), "files")]
    running = [row for row in rows if row.images is not None]
    first = running[0] if running else rows[0]
    found = tuple(_agreement(row, first, _limit(row, first, min_psnr)) for row in rows)
    classes = next((row.classes for row in rows if row.classes), ())
    return Comparison(found, len(running), classes, numbers)


def _run(path: Path, seeds: Sequence[Seed]) -> Row:
    if bundle.is_bundle(path):
        return _of_bundle(path, seeds)
    precision = _precision(path)
    try:
        if path.suffix == ".safetensors":
            images, few = _of_checkpoint(path, seeds)
            return Row(path, precision, images, _largest_difference(few, images))
        # the CPU provider, since others may round to BF16 on their own
        with Generator.load(path, "cpu" if identify(path) == "onnx" else "auto") as generator:
            images = generator.images(seeds)
            few = generator.images(seeds[:7], batch=3)
            named = generator.spec.class_names
        return Row(path, precision, images, _largest_difference(few, images), classes=named)
    except EngineMismatchError as error:
        return Row(path, precision, reason=str(error))
    except GantoolError as error:
        if path.suffix != ".safetensors" and identify(path) == "onnx" and not recipe_of(path).on_cpu:
            return Row(path, precision, reason="ONNX Runtime has no BF16 kernels on the CPU")
        raise error


def _largest_difference(few: Images, images: Images) -> int:
    return compare(images[: len(few)], few).max_difference


def _of_bundle(path: Path, seeds: Sequence[Seed]) -> Row:
    """Run the graph of a bundle."""
    with TemporaryDirectory() as folder:
        graph = Path(folder) / bundle.GRAPH
        graph.write_bytes(bundle.read(path).graph)
        return replace(_run(graph, seeds), path=path)


def _of_checkpoint(path: Path, seeds: Sequence[Seed]) -> tuple[Images, Images]:
    """Return the images of all seeds, and of the first seven in batches of three."""
    from gantool.models import load_checkpoint
    from gantool.models.sampling import sample_images
    from gantool.models.threads import limit_threads

    limit_threads()
    checkpoint = load_checkpoint(path)
    generator, bits = checkpoint.generator, checkpoint.metadata.bits
    parts = [seeds[:7][start : start + 3] for start in range(0, len(seeds[:7]), 3)]
    images, *few = (sample_images(generator, part, bits) for part in (seeds, *parts))
    return images, np.concatenate(few)


def _precision(path: Path) -> str:
    """Return fp32, fp16, bf16 or int8, from the recipe in the file or its sidecar."""
    if path.suffix == ".safetensors":
        return "fp32"
    if identify(path) == "onnx":
        return recipe_of(path).precision
    sidecar = read_sidecar(path)
    return (sidecar.precision if sidecar else None) or "fp32"


def _limit(row: Row, first: Row, min_psnr: float | None) -> float:
    return min(MIN_PSNR[row.precision], MIN_PSNR[first.precision]) if min_psnr is None else min_psnr


def _agreement(row: Row, first: Row, limit: float) -> Agreement:
    if row.images is None or first.images is None:
        note = f"cannot run here: {row.reason}"
        return Agreement(row.path, row.precision, None, 0, note, "", limit)
    parity = None
    if row.images.shape == first.images.shape:
        parity = compare(first.images, row.images)
        problem = _problem(row, parity, limit)
    else:
        problem = f"its images are {row.images.shape[1:]}, those of {first.path} {first.images.shape[1:]}"
    if problem and (stale := training_difference(training_metadata(first.path), training_metadata(row.path))):
        problem += f" (it has the weights after {stale}: export it again)"
    note = "" if parity else "runs, with images of another size"
    changes = row.batch_difference
    return Agreement(row.path, row.precision, parity, changes, note, problem, limit, row.images)


def _problem(row: Row, parity: Parity, limit: float) -> str:
    if parity.psnr < limit:
        return f"{parity}; expected at least {limit:g} dB"
    if row.batch_difference > ROUNDING[parity.white]:
        return f"a seed's image depends on its batch: {row.batch_difference} grey levels"
    return ""

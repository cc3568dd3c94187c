"""`gantool verify`: the same seeds through every artifact that can run here."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gantool.export.given import file_of, metadata_of, other_weights
from gantool.export.packaging import bundle
from gantool.export.precision.psnr import MIN_PSNR, Parity, compare
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import EngineMismatchError, GantoolError, UsageError, VerificationError
from gantool.runtime.generator import Generator
from gantool.runtime.seeds import parse_seeds
from gantool.runtime.spec import Images

CLASSES = 20  # that are named


@dataclass(frozen=True)
class Row:
    """One artifact: its images, or why it cannot run here."""

    path: Path
    precision: str
    images: Images | None = None
    batch_difference: int = 0  # grey levels, of seeds in batches of 3 and in the usual ones
    reason: str = ""
    classes: tuple[str, ...] = ()  # names


def verify(paths: list[Path], seeds_text: str, min_psnr: float | None, as_json: bool) -> None:
    """Print a table that compares each artifact with the first one that runs.

    Raises VerificationError if they disagree, and EngineMismatchError if fewer than two run here.
    """
    if len(paths) < 2:
        raise UsageError("verify compares files: give two or more")
    seeds = list(parse_seeds(seeds_text))
    rows = [_run(file_of(path), seeds) for path in paths]
    running = [row for row in rows if row.images is not None]
    table, wrong = [], []
    for row in rows:
        parity, problem = _judge(row, running[0], min_psnr)
        if problem:
            stale = other_weights(metadata_of(running[0].path), metadata_of(row.path))
            why = f" (its weights are after {stale}: export it again)" if stale else ""
            wrong.append(f"{row.path}: {problem}{why}")
        table.append(_line(row, parity))
    if as_json:
        print(json.dumps(table, indent=2))
    else:
        _print(table)
        if names := next((row.classes for row in rows if row.classes), ()):
            more = " ..." if len(names) > CLASSES else ""
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names[:CLASSES]))
            print(f"classes, by seed mod {len(names)}: {listed}{more}")
    if len(running) < 2:
        raise EngineMismatchError("fewer than two of these files run here, so nothing was compared")
    if wrong:
        raise VerificationError(f"they disagree: {'; '.join(wrong)}")


def _run(path: Path, seeds: list[int]) -> Row:
    if bundle.is_bundle(path):
        return _of_bundle(path, seeds)
    precision = _precision(path)
    try:
        if path.suffix == ".safetensors":
            images, few = _of_checkpoint(path, seeds)
            return Row(path, precision, images, _largest_difference(few, images))
        # the CPU provider, since others may round to BF16 by themselves
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
    return int(np.abs(few.astype(np.int16) - images[: len(few)]).max())


def _of_bundle(path: Path, seeds: list[int]) -> Row:
    """Run the graph that a bundle carries."""
    with TemporaryDirectory() as folder:
        graph = Path(folder) / bundle.GRAPH
        graph.write_bytes(bundle.read(path).graph)
        return replace(_run(graph, seeds), path=path)


def _of_checkpoint(path: Path, seeds: list[int]) -> tuple[Images, Images]:
    """Return the images of all seeds, and of the first seven in batches of three."""
    from gantool.export.graph.sources import load_source
    from gantool.export.options import Foreign
    from gantool.models.sampling import float_images
    from gantool.runtime.outputs.images import to_uint8

    source = load_source(path, Foreign(), lambda _: None)
    parts = [seeds[:7][start : start + 3] for start in range(0, len(seeds[:7]), 3)]
    images, *few = (to_uint8(float_images(source.module, source.inputs(part))) for part in (seeds, *parts))
    return images, np.concatenate(few)


def _precision(path: Path) -> str:
    """Return fp32, fp16, bf16 or int8, as the recipe has it."""
    if path.suffix == ".safetensors":
        return "fp32"
    if identify(path) == "onnx":
        return recipe_of(path).precision
    sidecar = read_sidecar(path)
    return (sidecar.precision if sidecar else None) or "fp32"


def _judge(row: Row, first: Row, min_psnr: float | None) -> tuple[Parity | None, str | None]:
    if row.images is None or first.images is None:
        return None, None
    if row.images.shape != first.images.shape:
        return None, f"its images are {row.images.shape[1:]}, those of {first.path} {first.images.shape[1:]}"
    parity = compare(first.images, row.images)
    limit = min(MIN_PSNR[row.precision], MIN_PSNR[first.precision]) if min_psnr is None else min_psnr
    if parity.psnr < limit:
        return parity, f"{parity}; expected at least {limit:g} dB"
    if row.batch_difference > 1:
        return parity, f"a seed's image depends on its batch: {row.batch_difference} grey levels"
    return parity, None


def _line(row: Row, parity: Parity | None) -> dict[str, Any]:
    line: dict[str, Any] = {"file": str(row.path), "precision": row.precision}
    if parity is None:
        return {
            **line,
            "psnr": None,
            "max_difference": None,
            "batch": None,
            "note": f"cannot run here: {row.reason}" if row.reason else "runs, with images of another size",
        }
    psnr = None if math.isinf(parity.psnr) else round(parity.psnr, 1)
    numbers = {"psnr": psnr, "max_difference": parity.max_difference, "batch": row.batch_difference}
    return {**line, **numbers, "note": ""}


def _print(table: list[dict[str, Any]]) -> None:
    width = max(len(line["file"]) for line in table)
    print(f"{'file':<{width}}  precision  worst PSNR  largest difference  batch changes")
    for line in table:
        if line["note"]:
            print(f"{line['file']:<{width}}  {line['precision']:<9}  {line['note']}")
            continue
        psnr = "equal" if line["psnr"] is None else f"{line['psnr']} dB"
        numbers = f"{psnr:>10}  {line['max_difference']:>18}  {line['batch']:>13}"
        print(f"{line['file']:<{width}}  {line['precision']:<9}  {numbers}")

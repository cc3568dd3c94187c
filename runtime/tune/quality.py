"""How good the images of a file are: a Fréchet distance, or the PSNR to the images of the reference.

The distance is measured here if a measure is given. Else, if the export stored one in every file, to the same
data, it is that one. Else the images of the same seeds are compared with those of the reference: this needs only
NumPy, and is fair among precisions of one generator, and between a generator and what was distilled from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gantool.runtime.artifacts.onnx import PARITY_KEY, read_json
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.psnr import psnr_of_all
from gantool.runtime.process.terminal import short
from gantool.runtime.progress import track
from gantool.runtime.spec import Images
from gantool.runtime.tune.rows import Row

SAMPLES, COMPARED, MEASURED = (
    10,
    64,
    2000,
)  # images: shown; for a PSNR; for a distance, as gantool export --data
UNSEEN = 50.0  # dB: nobody sees a difference
RELATED = 3.0  # dB by which a student is nearer to its teacher than images of two seeds are
EQUAL = 99.0  # dB at most: every pixel is equal
Key = tuple[Path, str]  # file and provider


@dataclass(frozen=True)
class Scale:
    """The unit of quality of one table."""

    title: str
    about: str  # a sentence
    more: bool  # more is better

    def as_good(self, one: float, other: float) -> bool:
        """Return whether `one` is better than `other`, equal, or worse by less than its measurement tells."""
        return one >= min(other, UNSEEN) - 0.5 if self.more else one <= 1.02 * other

    def text(self, value: float | None) -> str:
        """Return a quality with its unit."""
        if value is None:
            return "?"
        if not self.more:
            return f"{value:.2f}"
        return "equal" if value >= EQUAL else f"{value:.1f} dB"


@dataclass(frozen=True)
class Measure:
    """A measure of images, [N, H, W, C] of MEASURED seeds; less is better."""

    about: str
    of: Callable[[Images], float]


@dataclass(frozen=True)
class Judged:
    """The quality of each file with each provider."""

    scale: Scale
    values: dict[Key, float]
    samples: dict[Key, Images] = field(default_factory=dict, compare=False)  # of the first seeds
    warnings: tuple[str, ...] = ()


def key_of(row: Row) -> Key:
    """Return the file and the provider of a row, which make its images."""
    return row.candidate.file, row.provider


def judge(rows: Sequence[Row], measure: Measure | None) -> Judged:
    """Return the quality of each file, by each provider that ran it. The first FP32 file is the reference."""
    makers = list({key_of(row): row for row in rows}.values())
    if measure is not None:
        return _measured(makers, measure)
    if stored := _stored(makers):
        return stored
    return _compared(makers)


def _measured(makers: Sequence[Row], measure: Measure) -> Judged:
    values, samples = {}, {}
    for row in _tracked(makers):
        images = _images(row, MEASURED)
        values[key_of(row)], samples[key_of(row)] = measure.of(images), images[:SAMPLES]
    return Judged(Scale("distance", f"{measure.about}; less is better", False), values, samples)


def _stored(makers: Sequence[Row]) -> Judged | None:
    """Return the distances that the export stored, if every file has one, to the same data by the same measure."""
    found = {row.candidate.file: _record(row.candidate.file) for row in makers}
    kinds = {(record.get("data"), record.get("features"), record.get("images")) for record in found.values()}
    distances: dict[Path, Any] = {
        file: record.get("own", record.get("fp32")) for file, record in found.items()
    }
    if len(kinds) > 1 or not all(_is_distance(distance) for distance in distances.values()):
        return None
    data, features, images = map(short, kinds.pop())
    about = f"Fréchet distance to {data} by {features}, {images} images, as the export measured it; less is better"
    samples = {key_of(row): _images(row, SAMPLES) for row in _tracked(makers)}
    values = {key_of(row): float(distances[row.candidate.file]) for row in makers}
    return Judged(Scale("distance", about, False), values, samples)


def _record(file: Path) -> dict[str, Any]:
    if identify(file) == "onnx":
        parity: Any = read_json(file, PARITY_KEY)
    else:
        sidecar = read_sidecar(file)
        parity = sidecar.to_json().get("parity", {}) if sidecar else {}
    record = parity.get("frechet")
    return record if isinstance(record, dict) else {}


def _is_distance(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < 1e300


def _compared(makers: Sequence[Row]) -> Judged:
    full = [row for row in makers if _is_full(row.candidate.file)] or makers
    reference = next((row for row in full if "BF16" not in row.runs_on), full[0])  # OpenVINO may round more
    promised = _images(reference, COMPARED)
    values: dict[Key, float] = {}
    samples: dict[Key, Images] = {}
    warnings = []
    for row in _tracked(makers):
        images = _images(row, COMPARED)
        samples[key_of(row)] = images[:SAMPLES]
        if images.shape == promised.shape:
            values[key_of(row)] = min(psnr_of_all(promised, images), EQUAL)
        else:
            height, width, channels = images.shape[1:]
            warnings.append(
                f"{row.candidate.name} makes images of {height}×{width}×{channels}, which are not compared with "
                f"those of {reference.candidate.name}"
            )
    others = psnr_of_all(promised, np.roll(promised, 1, 0)) + RELATED
    if unrelated := [row for row in makers if values.get(key_of(row), others) < others]:
        warnings.append(
            f"the images of {unrelated[0].candidate.name} are as far from those of {reference.candidate.name} as "
            "the images of other seeds: compare what was not distilled from it by the distance to the data (--data)"
        )
    about = (
        f"PSNR of {COMPARED} seeds to the images of {reference.candidate.name}, all pixels together; more is "
        f"better, and above {UNSEEN:.0f} dB nobody sees a difference"
    )
    return Judged(Scale("PSNR", about, True), values, samples, tuple(dict.fromkeys(warnings)))


def _tracked(makers: Sequence[Row]) -> Iterable[Row]:
    return track(makers, "comparing images", len(makers), "files")


def _is_full(file: Path) -> bool:
    """Return whether a file computes in FP32."""
    if identify(file) == "onnx":
        return recipe_of(file).precision == "fp32"
    sidecar = read_sidecar(file)
    return sidecar is not None and sidecar.precision in (None, "fp32")


def _images(row: Row, count: int) -> Images:
    """Return the images of the first seeds; of class 0 where the number of classes is unknown."""
    with Generator.load(row.candidate.file, row.provider, row.threads) as generator:
        return generator.images(range(count), label=None if generator.spec.classes is not None else 0)

"""The gate: check that a graph makes the images of its reference, before a file is written.

The gate compares the images of 64 seeds. It runs every graph in the simulation of a device that computes in the
graph's types (`simulate`), and in plain ONNX Runtime where that has the kernels. Besides PSNR and the largest
difference, it checks that images of different seeds differ (no dead latents), and that no image depends on its
batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gantool.export.graph.names import TAIL, TAIL_16
from gantool.export.precision.psnr import MIN_PSNR, ROUNDING, Parity, ParityRecord, compare
from gantool.export.precision.simulate import Arrays, Simulation
from gantool.runtime.classes import labels, shares_of
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import in_levels, visible
from gantool.runtime.process.terminal import short
from gantool.runtime.spec import Images

SEEDS = range(64)
CALIBRATION_SEEDS = range(64, 128)
BATCH = 16
MIN_SPREAD = 0.5  # as a share of the reference's spread
# values that infinities within a graph would reach
_LAST = ("images", "images_premultiplied", f"{TAIL}/scale", f"{TAIL_16}/scale")


@dataclass(frozen=True)
class Reference:
    """The inputs and images of the FP32 generator that graphs are compared with."""

    # z float32 [64, latent]; of a conditional generator label, int64 [64] or float32 [64, classes]
    feeds: Arrays
    images: Images  # [64, H, W, C]
    calibration: Arrays  # like feeds, of other seeds: INT8 is not tested on its calibration data
    # Values in which the FP32 graph has infinities itself, such as attention masks.
    infinite: frozenset[str] = frozenset()


def feeds_of(
    seeds: Sequence[int], latent: int, distribution: str, classes: int | None, soft: bool = False
) -> Arrays:
    """Return z [N, latent], and unless `classes` is 0, label [N]; None (unknown) gives class 0 to all.

    `soft` makes label one-hot, float32 [N, classes].
    """
    z = latents(seeds, latent, distribution)
    if classes == 0:
        return {"z": z}
    numbers = labels(seeds, classes or 1)
    return {"z": z, "label": shares_of(numbers.tolist(), classes or 1) if soft else numbers}


@dataclass(frozen=True)
class Report:
    """The gate's measurements of one graph."""

    parity: Parity
    spread: float  # standard deviation of a pixel between seeds, over that of the reference
    batch_difference: int  # grey levels, between a seed alone and in a batch
    bad: str | None = None  # the first node with NaN or infinity where FP32 has none
    bad_value: str = ""  # the output of that node
    infinite: frozenset[str] = frozenset()  # all values with NaN or infinity

    def problem(self, precision: str, min_psnr: float | None = None) -> str | None:
        """Return why the graph does not pass, or None. `min_psnr` is in dB; None: MIN_PSNR of the precision."""
        most = ROUNDING[self.parity.white]
        far = self.parity.max_difference > most
        if self.bad and (precision != "fp32" or far or not self.infinite.isdisjoint(_LAST)):
            source = f"{short(self.bad)} ({short(self.bad_value)})"
            return f"{source} outputs NaN or infinity: its values exceed the range of their type"
        if precision == "fp32" and min_psnr is None:
            if far:
                return f"{self.parity}; expected at most {most}"
        elif self.parity.psnr < (limit := MIN_PSNR[precision] if min_psnr is None else min_psnr):
            return f"{self.parity}; expected at least {limit:g} dB on each of {len(SEEDS)} seeds"
        if self.spread < MIN_SPREAD:
            return f"images of different seeds are alike: {self.spread:.0%} of the reference's spread is left"
        if self.batch_difference > most:
            return f"a seed's image depends on its batch: {self.batch_difference} grey levels"
        return None

    def record(self) -> ParityRecord:
        """Return the record for the graph's metadata and the sidecar; an infinite PSNR is null."""
        parity = self.parity
        return ParityRecord(
            {
                "psnr": round(parity.psnr, 2) if np.isfinite(parity.psnr) else None,
                "max_difference": parity.max_difference,
                "spread": round(self.spread, 4),
                "batch_difference": self.batch_difference,
                "seeds": len(SEEDS),
            }
        )

    def __str__(self) -> str:
        return f"{self.parity}; spread {self.spread:.0%}; batch changes {self.batch_difference} levels"


def measure(simulation: Simulation, reference: Reference) -> Report:
    """Measure a graph in the simulation of a device that computes in the graph's types."""
    images, bad, infinite = [], "", set[str]()
    bits = 8 * reference.images.dtype.itemsize
    for values in simulation.run(reference.feeds, list(simulation.producers), BATCH):
        broken = [value for value in simulation.producers if not np.isfinite(values[value]).all()]
        bad = bad or next((value for value in broken if value not in reference.infinite), "")
        infinite |= set(broken)
        images.append(as_levels(values["images"], bits))
    whole = np.concatenate(images)
    alone = whole
    if not simulation.fixed_batch:
        few = {name: value[:8] for name, value in reference.feeds.items()}
        single = simulation.run(few, ["images"], 1)
        alone = np.concatenate([as_levels(values["images"], bits) for values in single])
    spreads = [float(visible(each).std(0).mean()) for each in (whole, reference.images)]
    return Report(
        compare(reference.images, whole),
        spreads[0] / max(spreads[1], 1e-9),
        compare(whole[: len(alone)], alone).max_difference,
        simulation.producers.get(bad),  # later ones follow from the first
        bad,
        frozenset(infinite),
    )


def with_worse_parity(report: Report, reference: Reference, images: Images) -> Report:
    """Return the report with the worse of its parity and that of `images`, from plain ONNX Runtime."""
    parity, own = compare(reference.images, images), report.parity
    worst = Parity(min(own.psnr, parity.psnr), max(own.max_difference, parity.max_difference), own.white)
    return replace(report, parity=worst)


def as_levels(images: Any, bits: int) -> Images:
    """Return the output of a graph, whole numbers [N, H, W, C] or floats [N, C, H, W], as whole numbers."""
    # `measure` reports NaN
    return in_levels(images if images.dtype.kind == "u" else np.nan_to_num(images), bits)

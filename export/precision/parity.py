"""The gate: proof that a graph makes the images of its reference, before anything is announced.

Compared are the images of 64 seeds. A graph that ONNX Runtime can run is run by it, as a user would; every graph is
also run as a device does that keeps to its types (`emulate`). Beside PSNR and the largest difference, images of
different seeds must stay different (dead latents), and no image may depend on the batch that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gantool.export.graph.names import TAIL
from gantool.export.precision.psnr import MIN_PSNR, Parity, ParityRecord, compare
from gantool.export.precision.simulate import Arrays, Simulation
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.process.terminal import short
from gantool.runtime.seeds import labels, latents
from gantool.runtime.spec import Images

SEEDS = range(64)
CALIBRATION_SEEDS = range(64, 128)
BATCH = 16
FP32_MAX_DIFFERENCE = 1  # grey levels
BATCH_MAX_DIFFERENCE = 1  # grey levels: libraries add up in another order for another batch
MIN_SPREAD = 0.5  # of the reference's
_LAST = ("images", f"{TAIL}/scale")  # where infinities within a graph would show


@dataclass(frozen=True)
class Reference:
    """What a graph is measured against: the FP32 generator's own images."""

    feeds: Arrays  # z float32 [64, latent]; label int64 [64] of a conditional generator
    images: Images  # [64, H, W, C]
    calibration: Arrays  # as feeds, of other seeds: what INT8 is fitted to is not what it is judged by
    # Values in which the FP32 graph has infinities itself, as masks of attention have.
    infinite: frozenset[str] = frozenset()


def feeds_of(seeds: Sequence[int], latent: int, distribution: str, classes: int | None) -> Arrays:
    """Return z [N, latent], and label [N] where `classes` is not 0; with None, not known, all are of class 0."""
    z = latents(seeds, latent, distribution)
    return {"z": z} if classes == 0 else {"z": z, "label": labels(seeds, classes or 1)}


@dataclass(frozen=True)
class Report:
    """What the gate measured of one graph."""

    parity: Parity
    spread: float  # standard deviation of a pixel between seeds, over that of the reference
    batch_difference: int  # grey levels, of the same seed alone and in a batch
    bad: str | None = None  # the first node with NaN or infinity that FP32 does not have
    bad_value: str = ""  # what it makes
    infinite: frozenset[str] = frozenset()  # all values with NaN or infinity

    def problem(self, precision: str, min_psnr: float | None = None) -> str | None:
        """Say why the graph does not pass, or None if it does. `min_psnr` None: by the precision."""
        far = self.parity.max_difference > FP32_MAX_DIFFERENCE
        if self.bad and (precision != "fp32" or far or not self.infinite.isdisjoint(_LAST)):
            source = f"{short(self.bad)} ({short(self.bad_value)})"
            return f"NaN or infinity come out of {source}: its numbers leave the range of their type"
        if precision == "fp32" and min_psnr is None:
            if far:
                return f"{self.parity}; expected at most {FP32_MAX_DIFFERENCE}"
        elif self.parity.psnr < (limit := MIN_PSNR[precision] if min_psnr is None else min_psnr):
            return f"{self.parity}; expected at least {limit:g} dB on each of {len(SEEDS)} seeds"
        if self.spread < MIN_SPREAD:
            return f"images of different seeds are alike: {self.spread:.0%} of the reference's spread is left"
        if self.batch_difference > BATCH_MAX_DIFFERENCE:
            return f"a seed's image depends on its batch: {self.batch_difference} grey levels"
        return None

    def record(self) -> ParityRecord:
        """Return what the graph's metadata and the sidecar keep; an infinite PSNR is null."""
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
    """Measure a graph as a device that keeps to its types runs it."""
    images, bad, infinite = [], "", set[str]()
    for values in simulation.run(reference.feeds, list(simulation.made), BATCH):
        broken = [value for value in simulation.made if not np.isfinite(values[value]).all()]
        bad = bad or next((value for value in broken if value not in reference.infinite), "")
        infinite |= set(broken)
        images.append(as_uint8(values["images"]))
    whole = np.concatenate(images)
    alone = whole
    if not simulation.fixed_batch:
        few = {name: value[:8] for name, value in reference.feeds.items()}
        alone = np.concatenate([as_uint8(values["images"]) for values in simulation.run(few, ["images"], 1)])
    return Report(
        compare(reference.images, whole),
        float(whole.std(0).mean() / max(reference.images.std(0).mean(), 1e-9)),
        int(np.abs(whole[: len(alone)].astype(np.int16) - alone).max()),
        simulation.made.get(bad),  # those after the first follow from it
        bad,
        frozenset(infinite),
    )


def worse(report: Report, reference: Reference, images: Images) -> Report:
    """Return the report with the worse of its own parity and that of what a user gets, `images`."""
    parity, own = compare(reference.images, images), report.parity
    worst = Parity(min(own.psnr, parity.psnr), max(own.max_difference, parity.max_difference))
    return replace(report, parity=worst)


def as_uint8(images: Any) -> Images:
    """Return the output of a graph, uint8 [N, H, W, C] or float [N, C, H, W], as uint8."""
    if images.dtype == np.uint8:
        return np.asarray(images, np.uint8)
    return to_uint8(np.nan_to_num(images))  # NaN is reported as such

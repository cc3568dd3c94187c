"""The Fréchet distance of a generator to a data set, in FP32 and in a lower precision: the cost of rounding.

The caller passes the measure of `gantool evaluate` in, since this room does not import `train`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gantool.export.options import DatasetDistance
from gantool.export.precision.parity import as_levels, feeds_of
from gantool.export.precision.psnr import ParityRecord
from gantool.export.precision.simulate import Arrays, Simulation
from gantool.runtime import Generator
from gantool.runtime.spec import Images

SEEDS = range(2000)
BATCH = 64


@dataclass(frozen=True)
class Distances:
    """The Fréchet distances of a generator's images to a data set."""

    data: str
    features: str
    images: int
    fp32: float  # of the FP32 graph
    own: float | None = None  # of the graph in a lower precision; None for the FP32 graph

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object for the graph's metadata."""
        found = {
            "data": self.data,
            "features": self.features,
            "images": self.images,
            "fp32": round(self.fp32, 4),
        }
        if self.own is None:
            return found
        return {**found, "own": round(self.own, 4), "difference": round(self.own - self.fp32, 4)}

    def added_to(self, record: ParityRecord) -> ParityRecord:
        """Return the record of a graph with these distances added."""
        return ParityRecord({**record.content, "frechet": self.to_json()})

    def __str__(self) -> str:
        start = f"Fréchet distance to {self.data} by {self.features}, {self.images:,} images: "
        fp32 = round(self.fp32, 4)
        if self.own is None:
            return f"{start}{fp32:.2f}"
        own, difference = round(self.own, 4), round(self.own - self.fp32, 4)
        return f"{start}FP32 {fp32:.2f}, this {own:.2f}, difference {difference:+.2f}"


def distances(full: Generator, low: Simulation | None, to_data: DatasetDistance) -> Distances:
    """Return the distance of an FP32 graph, and of the simulation `low` of a lower precision (None: only FP32)."""
    spec = full.spec
    feeds = feeds_of(SEEDS, spec.latent, spec.distribution, spec.classes, spec.soft_labels)
    images = full.images(SEEDS, label=None if spec.classes is not None else 0)
    fp32 = to_data.measure(images)
    own = None if low is None else to_data.measure(_images(low, feeds, spec.bits))
    return Distances(to_data.data, to_data.features, len(SEEDS), fp32, own)


def _images(simulation: Simulation, feeds: Arrays, bits: int) -> Images:
    parts = [values["images"] for values in simulation.run(feeds, ["images"], BATCH)]
    return as_levels(np.concatenate(parts), bits)

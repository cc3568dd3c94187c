"""The Fréchet distance of a generator to a data set, in FP32 and in a lower precision: what rounding costs.

The vectors and the distance are those of `gantool evaluate`, handed in, since the export knows no data sets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gantool.export.options import ToData
from gantool.export.precision.parity import as_uint8, feeds_of
from gantool.export.precision.simulate import Arrays, Simulation
from gantool.runtime import Generator
from gantool.runtime.spec import Images

SEEDS = range(2000)
BATCH = 64


def distances(full: Generator, low: Simulation | None, to_data: ToData) -> dict[str, Any]:
    """Return the distance of an FP32 graph, and of `low` as a device runs it that keeps to its types."""
    spec = full.spec
    feeds = feeds_of(SEEDS, spec.latent, spec.distribution, spec.classes)
    images = full.images(SEEDS, label=None if spec.classes is not None else 0)
    fp32 = to_data.of(images)
    found = {"data": to_data.data, "features": to_data.features, "images": len(SEEDS), "fp32": round(fp32, 4)}
    if low is None:
        return found
    own = to_data.of(_images(low, feeds))
    return {**found, "own": round(own, 4), "difference": round(own - fp32, 4)}


def text(found: dict[str, Any]) -> str:
    """Return a line for people."""
    start = f"Fréchet distance to {found['data']} by {found['features']}, {found['images']:,} images: "
    if "own" not in found:
        return f"{start}{found['fp32']:.2f}"
    return f"{start}FP32 {found['fp32']:.2f}, this {found['own']:.2f}, difference {found['difference']:+.2f}"


def _images(simulation: Simulation, feeds: Arrays) -> Images:
    parts = [values["images"] for values in simulation.run(feeds, ["images"], BATCH)]
    return as_uint8(np.concatenate(parts))

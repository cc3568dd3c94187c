"""The Fréchet distance of a generator to a data set, in FP32 and in a lower precision: what rounding costs.

The vectors and the distance are those of `gantool evaluate`, handed in, since the export knows no data sets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from gantool.export.options import ToData
from gantool.export.precision.parity import as_uint8, feeds_of, fixed_batch
from gantool.export.precision.simulate import Arrays, emulated, run
from gantool.runtime import Generator
from gantool.runtime.spec import Images

SEEDS = range(2000)
BATCH = 64


def distances(full: Path, low: onnx.ModelProto | None, to_data: ToData) -> dict[str, Any]:
    """Return the distance of the FP32 graph `full`, and of `low` as a device runs it that keeps to its types."""
    with Generator.load(full, provider="cpu") as generator:
        spec = generator.spec
        feeds = feeds_of(SEEDS, spec.latent, spec.distribution, spec.classes)
        images = generator.images(SEEDS, label=None if spec.classes is not None else 0)
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


def _images(graph: onnx.ModelProto, feeds: Arrays) -> Images:
    batch = fixed_batch(graph) or BATCH
    parts = [values["images"] for values in run(emulated(graph), feeds, ["images"], batch)]
    return as_uint8(np.concatenate(parts))

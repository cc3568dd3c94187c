"""Compare images with their reference: PSNR of the worst image, and largest difference. Needs only NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.outputs.images import eight_bits, visible
from gantool.runtime.spec import Images

PARITY_KEY = "gantool_parity"  # key of the gate's measurements in a graph's metadata
# Largest difference that rounding explains: the order of sums depends on the library and the batch. In levels, by
# the level of white.
ROUNDING = {255: 1, 65535: 16}
# dB that the worst image must reach against the FP32 reference, by the precision of the graph or engine.
MIN_PSNR = {"fp32": 50.0, "fp16": 40.0, "bf16": 30.0, "int8": 30.0}


@dataclass(frozen=True)
class Parity:
    """The difference between images and their reference."""

    psnr: float  # dB, of the worst image; infinite if all are equal
    max_difference: int  # levels
    white: int = 255  # the highest level: 255, or 65535 for images of 16 bits

    def __str__(self) -> str:
        psnr = "equal" if math.isinf(self.psnr) else f"PSNR {self.psnr:.1f} dB"
        return f"{psnr}, largest difference {self.max_difference} of {self.white}"


@dataclass(frozen=True)
class ParityRecord:
    """The gate's measurements as files keep them, for people: gantool does not interpret them.

    `Report.record` makes it. A sidecar copies it from its graph, whichever version of gantool measured it.
    """

    content: dict[str, Any] = field(default_factory=dict)  # the JSON object; {} if the file has none

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, as it was read."""
        return dict(self.content)


def compare(reference: Images, images: Images) -> Parity:
    """Compare images, [N, H, W, C], with their reference, as far as a colour is visible.

    Images of 8 bits are compared with images of 16 in 8 bits.
    """
    difference, white = _difference(reference, images)
    return Parity(min(_psnr(difference, white)), int(difference.max()), white)


def psnr_of_each(reference: Images, images: Images) -> list[float]:
    """Return the PSNR of each image, [N, H, W, C], in dB, as `compare` does; infinite for equal ones."""
    return _psnr(*_difference(reference, images))


def _difference(reference: Images, images: Images) -> tuple[NDArray[np.int32], int]:
    """Return the differences in levels, [N, H, W, C], and the level of white."""
    if images.dtype != reference.dtype:
        reference, images = eight_bits(reference), eight_bits(images)
    white = int(np.iinfo(images.dtype).max)
    return np.abs(visible(images).astype(np.int32) - visible(reference)), white


def _psnr(difference: NDArray[np.int32], white: int) -> list[float]:
    errors = np.square(difference, dtype=np.float64).mean((1, 2, 3)).tolist()
    return [10 * math.log10(white**2 / error) if error else math.inf for error in errors]

"""Compare images with their reference: PSNR of the worst image, and largest difference. Needs only NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from gantool.runtime.outputs.psnr import differences, psnr
from gantool.runtime.spec import Images

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
    """The gate's measurements as files keep them, for people. `gantool tune` reads the Fréchet distance in them.

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
    difference, white = differences(reference, images)
    return Parity(min(psnr(difference, white)), int(difference.max()), white)


def psnr_of_each(reference: Images, images: Images) -> list[float]:
    """Return the PSNR of each image, [N, H, W, C], in dB, as `compare` does; infinite for equal ones."""
    return psnr(*differences(reference, images))

"""See a checkerboard in the spectrum of images.

Upsampling by strides can leave a pattern with a period of two pixels (Odena, Dumoulin and Olah 2016,
"Deconvolution and Checkerboard Artifacts"): a line of the spectrum at the highest frequency that is brighter
than the frequencies beside it. Sharp or blurred images have more or less energy at all of these alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.outputs.images import visible
from gantool.runtime.spec import Images

_BESIDE = (2, 3, 4)  # frequencies below the highest that it is compared with, in periods per image
_LEAST = 16  # pixels per side
_BATCH = 256
_NOTHING = 1e-7  # of an image; below it, all images are of one colour: rounding to 8 bits alone leaves 1e-6
_MOST = 2000  # images


def checkerboard(images: Images, real: Images) -> float:
    """Return the line of images, [N, H, W, C], over that of real ones: 1 is as real, well above is a checkerboard.

    NaN for images of fewer than 16 pixels per side, and if either has no energy at high frequencies.
    """
    lines = [line(each) for each in (images, real)]
    return lines[0] / lines[1]


def line(images: Images) -> float:
    """Return the energy at a period of two pixels over that of the frequencies beside it; NaN if there is none."""
    if min(images.shape[1:3]) < _LEAST:
        return float("nan")
    images = images[np.linspace(0, len(images) - 1, min(_MOST, len(images)), dtype=np.int64)]
    energy = np.sum(list(_energies(images)), 0)  # [H, W]
    parts = []
    for axis in (0, 1):
        along = energy.mean(1 - axis)  # by frequency on this axis
        half = len(along) // 2
        beside = np.mean([along[half - step] for step in _BESIDE])
        parts.append((along[half], beside))
    (of_rows, beside_rows), (of_columns, beside_columns) = parts
    beside = beside_rows + beside_columns
    return float((of_rows + of_columns) / beside) if beside > _NOTHING * len(images) else float("nan")


def _energies(images: Images) -> Iterator[NDArray[np.float64]]:
    """Yield the energy by frequency, [H, W], of a batch of images."""
    for start in range(0, len(images), _BATCH):
        pixels = visible(images[start : start + _BATCH]) / np.float32(np.iinfo(images.dtype).max)
        spectrum = np.fft.fft2(pixels, axes=(1, 2))
        yield np.square(np.abs(spectrum), dtype=np.float64).sum((0, 3)) / pixels[0].size

"""How far images are from others, [N, H, W, C]: the differences that one can see, and their PSNR in dB."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.outputs.images import eight_bits, visible
from gantool.runtime.spec import Images


def differences(reference: Images, images: Images) -> tuple[NDArray[np.int32], int]:
    """Return the differences in levels, [N, H, W, C], as far as a colour is visible, and the level of white.

    Images of 8 bits are compared with images of 16 in 8 bits.
    """
    if images.dtype != reference.dtype:
        reference, images = eight_bits(reference), eight_bits(images)
    white = int(np.iinfo(images.dtype).max)
    return np.abs(visible(images).astype(np.int32) - visible(reference)), white


def psnr(difference: NDArray[np.int32], white: int) -> list[float]:
    """Return the PSNR of each image in dB; infinite for equal ones."""
    errors = np.square(difference, dtype=np.float64).mean((1, 2, 3)).tolist()
    return [_decibels(error, white) for error in errors]


def psnr_of_all(reference: Images, images: Images) -> float:
    """Return the PSNR of all pixels together in dB; infinite if all are equal."""
    difference, white = differences(reference, images)
    return _decibels(float(np.square(difference, dtype=np.float64).mean()), white)


def _decibels(error: float, white: int) -> float:
    return 10 * math.log10(white**2 / error) if error else math.inf

"""What a generator from elsewhere must do, found by running it: the same for PyTorch modules and ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # [n, C, H, W]

SEEDS = range(8)  # what is looked at
TOLERANCE = 1e-3  # of images in [-1, 1]: an eighth of a grey level
CHECKED = (
    "checked: output changes with z, is finite and within [-1, 1], repeats itself, and does not depend on "
    "the batch"
)


def problem(images: Floats, again: Floats, alone: Floats, other: Floats | None = None) -> str | None:
    """Say what is wrong with a generator, in words that follow its name, or None.

    `images` of eight seeds, `again` by a second call, `alone` one by one, and `other` with other labels.
    """
    low, high = float(images.min()), float(images.max())
    if not np.isfinite(images).all():
        return "gives NaN or infinity"
    if low < -1 - TOLERANCE or high > 1 + TOLERANCE:
        return f"gives values from {low:.3g} to {high:.3g}, expected [-1, 1]: end it with tanh"
    if low >= 0:
        return (
            f"gives values from {low:.3g} to {high:.3g}, expected [-1, 1]: if they are in [0, 1], as a sigmoid "
            "gives them, end it with 2 * x - 1"
        )
    if np.abs(images - again).max() > TOLERANCE:
        return "gives other images for the same z (noise or dropout inside?)"
    if np.abs(images - alone).max() > TOLERANCE:
        return "gives other images in another batch (BatchNorm without its running statistics?)"
    if np.abs(images[:1] - images).max() < TOLERANCE:
        return "gives the same image for every z"
    if other is not None and np.abs(images - other).max() < TOLERANCE:
        return "does not depend on the label"
    return None

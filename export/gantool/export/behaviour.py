"""What a generator from elsewhere must do, found by running it: the same for PyTorch modules and ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.export.options import Foreign

Floats = NDArray[np.floating[Any]]  # [n, C, H, W]

SEEDS = range(8)  # what is looked at
TOLERANCE = 1e-3  # of images in [-1, 1]: an eighth of a grey level
CHECKED = (
    "checked: output changes with z, is finite and within [-1, 1], repeats itself, and does not depend on "
    "the batch"
)


def in_unit(images: Floats, foreign: Foreign) -> Floats:
    """Bring images to [-1, 1] as --range and --clamp say; `graph.add_range` does the same in a graph."""
    factor, shift = foreign.scale
    images = images if (factor, shift) == (1, 0) else images * np.float32(factor) + np.float32(shift)
    return np.clip(images, -1, 1) if foreign.clamp else images


def problem(
    images: Floats, again: Floats, alone: Floats, other: Floats | None = None, foreign: Foreign | None = None
) -> str | None:
    """Say what is wrong with a generator, in words that follow its name, or None.

    `images` of eight seeds, `again` by a second call, `alone` one by one, and `other` with other labels, all as the
    generator makes them: `foreign` says in which range.
    """
    foreign = foreign or Foreign()
    if not np.isfinite(images).all():
        return "gives NaN or infinity: its weights are damaged, or it computes beyond what float32 holds"
    if found := _out_of_range(float(images.min()), float(images.max()), foreign):
        return found
    images, again, alone = (in_unit(each, foreign) for each in (images, again, alone))
    if np.abs(images - again).max() > TOLERANCE:
        return "gives other images for the same z (noise or dropout inside?)"
    if np.abs(images - alone).max() > TOLERANCE:
        return "gives other images in another batch (BatchNorm without its running statistics?)"
    if np.abs(images[:1] - images).max() < TOLERANCE:
        return "gives the same image for every z"
    if other is not None and np.abs(images - in_unit(other, foreign)).max() < TOLERANCE:
        return "does not depend on the label"
    return None


def _out_of_range(low: float, high: float, foreign: Foreign) -> str | None:
    """Say which flag values from `low` to `high` want, or None if they are as expected."""
    bottom, top = (float(side) for side in foreign.values.split(","))
    tolerance = TOLERANCE * (top - bottom) / 2
    found = f"gives values from {low:.3g} to {high:.3g}, expected [{bottom:g}, {top:g}]"
    likely = _likely_range(low, high)
    if likely is not None and likely != foreign.values and not foreign.clamp:
        if likely == Foreign.values:
            return f"{found}: leave out --range {foreign.values}"
        sigmoid = ", as a sigmoid gives them" if likely == "0,1" else ""
        return f"{found}: if they are in [{likely.replace(',', ', ')}]{sigmoid}, add --range {likely}"
    if foreign.clamp or (low >= bottom - tolerance and high <= top + tolerance):
        return None
    return (
        f"{found}: if its images are clamped when they are saved, as those of StyleGAN and ProGAN are, add "
        "--clamp; else end it with tanh"
    )


def _likely_range(low: float, high: float) -> str | None:
    """Return the range that values from `low` to `high` fill, or None where they fit none."""
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return "0,1"
    if low >= -1 - TOLERANCE and high <= 1 + TOLERANCE:
        return "-1,1"
    return "0,255" if low >= -0.5 and 16 < high <= 255.5 else None

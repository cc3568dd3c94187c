"""What a generator from elsewhere must do, found by running it: the same for PyTorch modules and ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.export.options import Foreign

Floats = NDArray[np.floating[Any]]  # [n, C, H, W]

SEEDS = range(8)  # what is looked at
TOLERANCE = 1e-3  # of images in [-1, 1]: an eighth of a grey level
OVERSHOOT = 0.5  # how far beyond each end --clamp is meant to cut, of the width of the range
DARKEST = 16  # images of 0 to 255 have a value above
NARROWEST_FIRST = ("0,1", "-1,1", "0,255")
CHECKED = (
    "checked: output changes with z, is finite and within [-1, 1], repeats itself, and does not depend on "
    "the batch"
)


def ends_of(values: str) -> tuple[float, float]:
    """Return the ends of a range as --range has it."""
    bottom, top = values.split(",")
    return float(bottom), float(top)


def in_unit(images: Floats, foreign: Foreign) -> Floats:
    """Bring images to [-1, 1] as --range and --clamp say; `graph.add_range` does the same in a graph."""
    factor, shift = foreign.scale
    images = images if (factor, shift) == (1, 0) else images * np.float32(factor) + np.float32(shift)
    return np.clip(images, -1, 1) if foreign.clamp else images


def cut(images: Floats, foreign: Foreign) -> str:
    """Say how much of images --clamp cuts off, as the generator makes them."""
    bottom, top = ends_of(foreign.values)
    outside = float(np.mean((images < bottom) | (images > top)))
    values = f"its values, which go from {images.min():.3g} to {images.max():.3g}"
    return f"`clamp` cuts off {outside:.1%} of {values}" if outside else f"`clamp` cuts off none of {values}"


def problem(
    images: Floats, again: Floats, alone: Floats, other: Floats | None = None, foreign: Foreign | None = None
) -> str | None:
    """Say what is wrong with a generator, in words that follow its name, or return None.

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
        return "gives other images for the same z: is there noise or dropout inside?"
    if np.abs(images - alone).max() > TOLERANCE:
        return "gives other images in another batch: does its BatchNorm lack running statistics?"
    if np.abs(images[:1] - images).max() < TOLERANCE:
        return "gives the same image for every z"
    if other is not None and np.abs(images - in_unit(other, foreign)).max() < TOLERANCE:
        return "does not depend on the label"
    return None


def _out_of_range(low: float, high: float, foreign: Foreign) -> str | None:
    """Say which flag values from `low` to `high` want, or None if they are as expected."""
    bottom, top = ends_of(foreign.values)
    slack = OVERSHOOT if foreign.clamp else TOLERANCE / 2
    likely = next((values for values in NARROWEST_FIRST if _fits(low, high, values, TOLERANCE / 2)), None)
    if likely is None or NARROWEST_FIRST.index(likely) >= NARROWEST_FIRST.index(foreign.values):
        if _fits(low, high, foreign.values, slack):
            return None
        likely = next((values for values in NARROWEST_FIRST if _fits(low, high, values, slack)), None)
    found = f"gives values from {low:.3g} to {high:.3g}, expected [{bottom:g}, {top:g}]"
    if likely == Foreign.values:
        return f"{found}: leave out `values` {foreign.values}"
    if likely is not None:
        sigmoid = ", as a sigmoid gives them" if likely == "0,1" else ""
        verb = "add" if foreign.values == Foreign.values else "give"
        return f"{found}: if they are in [{likely.replace(',', ', ')}]{sigmoid}, {verb} `values` {likely}"
    if foreign.clamp:
        return None
    return (
        f"{found}: if its images are clamped when they are saved, as those of StyleGAN and ProGAN are, add "
        "`clamp`; otherwise end it with tanh"
    )


def _fits(low: float, high: float, values: str, slack: float) -> bool:
    """Whether values from `low` to `high` may be of a range, `slack` of its width beyond its ends allowed."""
    bottom, top = ends_of(values)
    margin = slack * (top - bottom)
    return low >= bottom - margin and high <= top + margin and (values != "0,255" or high > DARKEST)

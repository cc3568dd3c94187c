"""Check by running it that a generator from elsewhere behaves as one: for PyTorch modules and ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.export.options import Foreign

Floats = NDArray[np.floating[Any]]  # [n, C, H, W]

SEEDS = range(8)
TOLERANCE = 1e-3  # of images in [-1, 1]: an eighth of a grey level
OVERSHOOT = 0.5  # with --clamp, values may exceed each end of the range by this share of its width
DARKEST = 16  # images in [0, 255] have a value above this
NARROWEST_FIRST = ("0,1", "-1,1", "0,255")
CHECKED = (
    "checked: output changes with z, is finite and within [-1, 1], repeats itself, and does not depend on "
    "the batch"
)


def parse_range(values: str) -> tuple[float, float]:
    """Return the ends of a range, written as in --range."""
    bottom, top = values.split(",")
    return float(bottom), float(top)


def to_unit_range(images: Floats, foreign: Foreign) -> Floats:
    """Scale images to [-1, 1] by --range and --clamp; `from_torch.add_range` does the same in a graph."""
    factor, shift = foreign.scale
    images = images if (factor, shift) == (1, 0) else images * np.float32(factor) + np.float32(shift)
    return np.clip(images, -1, 1) if foreign.clamp else images


def clamp_note(images: Floats, foreign: Foreign) -> str:
    """Return a note on the share of values that --clamp cuts off; `images` are not scaled yet."""
    bottom, top = parse_range(foreign.values)
    outside = float(np.mean((images < bottom) | (images > top)))
    values = f"its values, which go from {images.min():.3g} to {images.max():.3g}"
    return f"`clamp` cuts off {outside:.1%} of {values}" if outside else f"`clamp` cuts off none of {values}"


def find_problem(
    images: Floats, again: Floats, alone: Floats, other: Floats | None = None, foreign: Foreign | None = None
) -> str | None:
    """Return what is wrong with a generator, as a predicate to its name, or None.

    images: of SEEDS in one batch; again: the same by a second call; alone: the same one by one; other: with other
    labels. All are [n, C, H, W] in the range of `foreign`.
    """
    foreign = foreign or Foreign()
    if not np.isfinite(images).all():
        return "gives NaN or infinity: its weights are damaged, or it computes beyond what float32 holds"
    if found := _out_of_range(float(images.min()), float(images.max()), foreign):
        return found
    images, again, alone = (to_unit_range(each, foreign) for each in (images, again, alone))
    if np.abs(images - again).max() > TOLERANCE:
        return "gives other images for the same z: is there noise or dropout inside?"
    if np.abs(images - alone).max() > TOLERANCE:
        return "gives other images in another batch: does its BatchNorm lack running statistics?"
    if np.abs(images[:1] - images).max() < TOLERANCE:
        return "gives the same image for every z"
    if other is not None and np.abs(images - to_unit_range(other, foreign)).max() < TOLERANCE:
        return "does not depend on the label"
    return None


def _out_of_range(low: float, high: float, foreign: Foreign) -> str | None:
    """Return which option fits values from `low` to `high`, or None if they are in the expected range."""
    bottom, top = parse_range(foreign.values)
    slack = OVERSHOOT if foreign.clamp else TOLERANCE / 2
    likely = next((values for values in NARROWEST_FIRST if _within(low, high, values, TOLERANCE / 2)), None)
    if likely is None or NARROWEST_FIRST.index(likely) >= NARROWEST_FIRST.index(foreign.values):
        if _within(low, high, foreign.values, slack):
            return None
        likely = next((values for values in NARROWEST_FIRST if _within(low, high, values, slack)), None)
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


def _within(low: float, high: float, values: str, slack: float) -> bool:
    """Return whether [low, high] lies in a range that is extended at each end by `slack` times its width."""
    bottom, top = parse_range(values)
    margin = slack * (top - bottom)
    return low >= bottom - margin and high <= top + margin and (values != "0,255" or high > DARKEST)

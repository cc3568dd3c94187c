"""Recommend a preset for a set of images."""

from __future__ import annotations

from gantool.models.config import SIZES
from gantool.models.presets import PRESETS
from gantool.train.data.facts import Facts
from gantool.train.options import TrainingOptions

FEW = 4_000  # up to this many images, the discriminator memorizes them without augmentation
MANY = 20_000  # more images than this do not help the small network of the preset small
ENLARGED = 1.5  # warn if images are enlarged by more than this factor; 28 to 32 pixels is fine


def few(count: int) -> bool:
    """Return whether `count` images need augmentation."""
    return count <= FEW


def fitting(size: int, count: int) -> tuple[str, list[str]]:
    """Return the preset for `count` images of `size` × `size` pixels, and the flags to add."""
    preset = "small" if few(count) else f"dcgan{size}"
    return preset, [f"--size {size}"] if PRESETS[preset].size != size else []


def largest_size(side: int) -> int:
    """Return the largest image size of a preset that does not enlarge images of `side` pixels."""
    sizes = SIZES["dcgan"]
    return max((size for size in sizes if size <= side), default=sizes[0])


def advice(preset: str, options: TrainingOptions, facts: Facts) -> list[str]:
    """Return a line for each mismatch between the options and the images."""
    made, size, lines = options.network.size, largest_size(facts.side), []
    other, _ = fitting(size, facts.count)
    kept = few(facts.count) and preset == other
    kept_size = "" if PRESETS[other].size == size else f" `size` {size}"
    other = f"`size` {size}" if kept else f"`preset` {other}{kept_size}"
    originals = f"half of the images have {facts.side} pixels or more a side"
    if facts.common == facts.count:
        originals = f"the images are {facts.commonest[0]}×{facts.commonest[1]}"
    if made < size:
        lines.append(f"{originals}; this preset makes {made}×{made} (to keep more of them: {other})")
    elif made > ENLARGED * facts.side:
        lines.append(f"{originals}; they are enlarged to {made}×{made} (to train at their size: {other})")
    if few(facts.count) and options.augment == "none":
        lines.append(
            f"{facts.count:,} images are few: without augmentation the discriminator memorizes them "
            "(`preset` small, or `augment` ada)"
        )
    elif preset == "small" and facts.count > MANY:
        lines.append(
            f"{facts.count:,} images are many for this preset: `preset` dcgan{size} learns more of them"
        )
    return lines

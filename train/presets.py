"""Recommend a preset for a set of images."""

from __future__ import annotations

from gantool.models.config import SIZES, Size, near_sizes, square
from gantool.models.presets import PRESETS
from gantool.train.data.facts import Facts
from gantool.train.data.fitting import other_aspect
from gantool.train.options import TrainingOptions

FEW = 4_000  # up to this many images, the discriminator memorizes them without augmentation
MANY = 20_000  # more images than this do not help the small network of the preset small
SAME_ASPECT = 0.05  # aspects that differ by a smaller part count as the same in advice
ENLARGED = 1.5  # warn if images are enlarged by more than this factor; 28 to 32 pixels is fine


def few(count: int) -> bool:
    """Return whether `count` images need augmentation."""
    return count <= FEW


def fitting(size: Size, count: int) -> tuple[str, list[str]]:
    """Return the preset for `count` images of a size, and the flags to add."""
    preset = "small" if few(count) else f"dcgan{largest_size(min(size))}"
    return preset, [f"--size {size}"] if PRESETS[preset].size != size else []


def largest_size(side: int) -> int:
    """Return the largest image size of a preset that does not enlarge images of `side` pixels."""
    return max((size for size in SIZES if size <= side), default=SIZES[0])


def advice(preset: str, options: TrainingOptions, facts: Facts) -> list[str]:
    """Return a line for each mismatch between the options and the images."""
    size = options.network.size
    most = _most(size, facts)
    made, side, lines = min(size), largest_size(most), []
    better = square(side) if size.height == size.width else _scaled(size, side)
    other, _ = fitting(better, facts.count)
    kept = few(facts.count) and preset == other
    kept_size = "" if PRESETS[other].size == better else f" `size` {better}"
    other = f"`size` {better}" if kept else f"`preset` {other}{kept_size}"
    originals = f"half of the images have {facts.side} pixels or more a side"
    if facts.common == facts.count:
        originals = f"the images are {facts.commonest[0]}×{facts.commonest[1]}"
    shown = size.by
    if made < side and min(better) > made:
        lines.append(f"{originals}; this preset makes {shown} (to keep more of them: {other})")
    elif made > ENLARGED * most:
        lines.append(f"{originals}; they are enlarged to {shown} (to train at their size: {other})")
    if options.fit == "crop" and (whole := _uncropped(size, facts)):
        width, height = facts.commonest
        lines.append(
            f"most images are {width} wide and {height} high, and cropped to {shown} "
            f"(to keep all of them: `size` {whole})"
        )
    if few(facts.count) and options.augment == "none":
        lines.append(
            f"{facts.count:,} images are few: without augmentation the discriminator memorizes them "
            "(`preset` small, or `augment` ada)"
        )
    elif preset == "small" and facts.count > MANY:
        lines.append(
            f"{facts.count:,} images are many for this preset: `preset` dcgan{side} learns more of them"
        )
    return lines


def _most(size: Size, facts: Facts) -> int:
    """Return the shorter side, of images of this aspect ratio, up to which most images are not enlarged."""
    if size.height == size.width:
        return facts.side
    width, height = facts.commonest
    return int(min(size) * min(height / size.height, width / size.width))


def _uncropped(size: Size, facts: Facts) -> Size | None:
    """Return the size of the aspect of most images, if they are cropped and a network makes one."""
    width, height = facts.commonest
    if not other_aspect(facts.commonest, size) or 2 * facts.common <= facts.count:
        return None
    whole = _scaled(Size(height, width), min(size))
    same = abs(whole.width * height / (whole.height * width) - 1) <= SAME_ASPECT
    return whole if same and whole != size else None


def _scaled(size: Size, side: int) -> Size:
    """Return a size of about the same aspect that networks make, with a shorter side of about `side` pixels."""
    factor = side / min(size)
    return near_sizes("dcgan", Size(*(round(each * factor) for each in size)))[0]

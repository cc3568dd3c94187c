"""How an image of another aspect ratio is made to fit the size of a set. It needs neither NumPy nor Pillow."""

from __future__ import annotations

from typing import Literal

from gantool.models.config import Size

Fit = Literal["crop", "pad", "stretch"]

# What was done to an image, for messages; {ground} is the background.
DONE: dict[Fit, str] = {
    "crop": "cropped to the middle",
    "pad": "padded with {ground}",
    "stretch": "stretched",
}


def other_aspect(sides: tuple[int, int], size: Size) -> bool:
    """Return whether an image, width × height, has another aspect ratio than the size."""
    width, height = sides
    return width * size.height != height * size.width


def cropped(sides: tuple[int, int], size: Size) -> tuple[int, int, int, int]:
    """Return the box in the middle of an image, width × height, that has the aspect of the size."""
    width, height = sides
    if width * size.height > height * size.width:
        width = max(round(height * size.width / size.height), 1)
    else:
        height = max(round(width * size.height / size.width), 1)
    left, top = (sides[0] - width) // 2, (sides[1] - height) // 2
    return left, top, left + width, top + height


def contained(sides: tuple[int, int], size: Size) -> tuple[int, int]:
    """Return width and height of an image, width × height, when it is scaled to lie just inside the size."""
    width, height = sides
    if width * size.height > height * size.width:
        return size.width, max(round(height * size.width / width), 1)
    return max(round(width * size.height / height), 1), size.height

"""Transparent images, and the background that they are laid on."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gantool.runtime.colours import Colour, colour


def opposite(background: str) -> str:
    """Return the colour, black or white, that contrasts with `background`."""
    return "black" if sum(colour(background)) > 3 * 127 else "white"


def is_grey_colour(background: str) -> bool:
    """Return whether a background is grey, white or black."""
    return len(set(colour(background))) == 1


def is_grey_mode(image: Image.Image) -> bool:
    """Return whether an image is grey, by its mode alone."""
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def grey_level(ground: Colour) -> int:
    """Return the level of a colour on a grey image, 0 to 255."""
    level = Image.new("RGB", (1, 1), ground).convert("L").getpixel((0, 0))
    assert isinstance(level, int)
    return level


def is_transparent(image: Image.Image) -> bool:
    """Return whether an image is transparent, at least in part."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):  # of 16 bits, with one level that is transparent
        return bool((np.asarray(image) == image.info["transparency"]).any())
    alpha = image if "A" in image.getbands() else image.convert("LA" if image.mode == "La" else "RGBA")
    lowest, _ = alpha.getchannel("A").getextrema()
    return bool(lowest < 255)  # type: ignore[operator]  # one band, so it is not a tuple


def blended(image: Image.Image, background: str | None) -> Image.Image:
    """Blend an image with the background; return it in mode L or RGB. Without one, return it in mode RGBA."""
    if image.mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers, of no known range: write them as 8 or 16 bits"
        )
    if not image.has_transparency_data:
        opaque = "L" if is_grey_mode(image) else "RGB"
        return image if image.mode == opaque else image.convert(opaque)
    if image.mode == "La":
        image = image.convert("LA")
    if background is None:
        return image.convert("RGBA")
    grey = is_grey_mode(image) and is_grey_colour(background)
    opaque = "L" if grey else "RGB"
    image = image.convert("LA" if grey else "RGBA")
    flat = Image.new(opaque, image.size, colour(background)[0] if grey else colour(background))
    flat.paste(image.convert(opaque), mask=image.getchannel("A"))
    return flat

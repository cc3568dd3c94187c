"""Files of 16 bits per channel: read all bits, and scale them to 8."""

from __future__ import annotations

import io
import re
import sys
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bounds = tuple[int, int]  # levels that become black and white

_DEEP = re.compile(";16[BLN]$")  # byte order: big, little, or native
_OPPOSITE_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def shallow(image: Image.Image, bounds: Bounds) -> tuple[Image.Image, Bounds]:
    """Convert a grey image of 16 bits to 8; return it, and its smallest and largest level."""
    levels, seen, span = grey_levels(image)
    scaled = _eight(levels, bounds)
    if seen is not None:
        scaled = np.dstack([scaled, np.uint8(255) * seen])  # [H, W, 2]
    return Image.fromarray(scaled), span


def grey_levels(image: Image.Image) -> tuple[NDArray[Any], NDArray[np.bool_] | None, Bounds]:
    """Return the levels of a grey image of 16 bits (mode I;16, in older Pillow also I), [H, W].

    Return also where it is not transparent, [H, W], None for an image without transparency, and the smallest and
    largest level there. Raises ValueError for other levels.
    """
    levels = np.asarray(image)  # [H, W]
    low, high = int(levels.min()), int(levels.max())
    if low < 0 or high > 65535:
        raise ValueError(f"its levels go from {low:,} to {high:,}: scale them to 0 to 65,535 first")
    if (clear := image.info.get("transparency")) is None:  # the level that marks transparent pixels
        return levels, None, (low, high)
    seen = levels != clear  # without the mark, which can be any level
    low, high = int(levels[seen].min(initial=65535)), int(levels[seen].max(initial=0))
    return levels, seen, (low, high)


def is_deep_colour(image: Image.Image) -> bool:
    """Return whether a file has 16 bits per channel, of which Pillow reads only the upper eight."""
    tiles: list[Any] = getattr(image, "tile", [])  # only an image from a file has tiles
    return (
        image.mode in ("RGB", "RGBA") and bool(tiles) and _DEEP.search(_raw_mode(tiles[0].args)) is not None
    )


def _raw_mode(args: Any) -> str:
    """Return Pillow's name for how a tile of a file stores pixels: "RGB;16B"."""
    return str(args if isinstance(args, str) else args[0])


def lower_bytes(image: Image.Image) -> Image.Image:
    """Return the lower eight of 16 bits per channel, by reading the same file with the opposite byte order."""

    def swapped(args: Any) -> Any:
        raw = _raw_mode(args)
        lower = "RGBA" if raw == "LA;16B" else raw[:-1] + _OPPOSITE_ORDER[raw[-1]]  # there is no LA;16L
        return lower if isinstance(args, str) else (lower, *args[1:])

    again: Any = Image.open(io.BytesIO(image.fp.getvalue()), formats=[str(image.format)])  # type: ignore[attr-defined]
    grey = _raw_mode(again.tile[0].args) == "LA;16B"
    again.tile = [tile._replace(args=swapped(tile.args)) for tile in again.tile]
    again.load()
    if grey:
        _, level, _, alpha = again.split()
        again = Image.merge("RGBA", (level, level, level, alpha))
    return cast("Image.Image", again)


def shallow_colour(
    image: Image.Image, lower: Image.Image | None, bits: int, bounds: Bounds
) -> tuple[Image.Image, Bounds]:
    """Combine upper and lower bytes of a colour image, scale them to 8 bits; return it and its extreme levels."""
    upper = np.asarray(image)  # [H, W, 3 or 4]
    if lower is None:
        return image, (int(upper[..., :3].min()) * 256, int(upper[..., :3].max()) * 256 + 255)
    levels = upper.astype(np.int32) * 256 + np.asarray(lower)
    colours, alpha = levels[..., :3], upper[..., 3:]
    span = int(colours.min()), int(colours.max())
    if (clear := image.info.get("transparency")) is not None:  # the colour that marks transparent pixels
        seen = (levels != clear).any(2)
        span = int(colours[seen].min(initial=65535)), int(colours[seen].max(initial=0))
        alpha = np.uint8(255) * seen[..., None]
    elif alpha.size and levels[..., 3].max() < 2**bits:  # alpha uses as many bits as the colours
        alpha = _eight(levels[..., 3:], (0, 2**bits - 1))
    return Image.fromarray(np.dstack([_eight(colours, bounds), alpha])), span


def _eight(levels: NDArray[Any], bounds: Bounds) -> NDArray[np.uint8]:
    """Scale levels of any shape to uint8: those of the bounds become 0 and 255."""
    low, high = bounds
    span = high - low
    above = np.clip(levels, low, high).astype(np.int32) - low
    scaled: NDArray[np.int32] = (above * 255 + span // 2) // span
    return scaled.astype(np.uint8)

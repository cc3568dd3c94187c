"""Convert and arrange arrays of images."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.colours import Colour
from gantool.runtime.errors import GantoolError
from gantool.runtime.spec import Images

# factor, shift and white of each number of bits: levels of x in [-1, 1]
TAILS = {8: (127.5, 128.0, 255.0), 16: (32767.5, 32768.0, 65535.0)}
_WHITE, _GREY = np.uint32(255), np.uint32(204)  # the squares of a checkerboard


def to_uint8(images: NDArray[np.float32], fp16: bool | None = False) -> NDArray[np.uint8]:
    """Turn float images, [N, C, H, W] in [-1, 1], into uint8 [N, H, W, C], see `to_levels`."""
    return to_levels(images, 8, fp16).astype(np.uint8, copy=False)


def to_levels(images: NDArray[np.float32], bits: int, fp16: bool | None = False) -> Images:
    """Turn float images, [N, C, H, W] in [-1, 1], into uint8 or uint16 [N, H, W, C] as the tail of the graph does.

    x * 127.5 + 128, clipped to 0..255, truncated to whole numbers; in 16 bits x * 32767.5 + 32768, to 65535. Raises
    GantoolError for NaN. `fp16` says whether the images were computed in FP16, which may have overflowed; None if
    that is not known.
    """
    if np.isnan(images).any():
        weights = "its weights hold NaN, or numbers so large that they overflow"
        advice = "export again without --fp16" if fp16 else f"{weights}: look at the checkpoint"
        if fp16 is None:
            advice += "; if it computes in FP16, export again without --fp16"
        raise GantoolError(f"the engine gave NaN instead of images: {advice}")
    scale, shift, white = TAILS[bits]
    levels = np.clip(images * np.float32(scale) + np.float32(shift), 0, white)
    return np.ascontiguousarray(levels.astype(f"uint{bits}").transpose(0, 2, 3, 1))  # [N, H, W, C]


def in_levels(images: NDArray[Any], bits: int, fp16: bool | None = False) -> Images:
    """Return the output of an engine, whole numbers [N, H, W, C] or floats [N, C, H, W], as whole numbers."""
    return images if images.dtype.kind == "u" else to_levels(images, bits, fp16)


def eight_bits(images: Images) -> NDArray[np.uint8]:
    """Round images of 16 bits to 8; return others as they are."""
    return _rounded()[images] if images.dtype == np.uint16 else images.astype(np.uint8, copy=False)


@cache
def _rounded() -> NDArray[np.uint8]:
    """Return the 8 bits of each level of 16: a table, since a large set has no room for wider numbers."""
    return ((np.arange(65536, dtype=np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def grid(images: Images, columns: int) -> Images:
    """Arrange images, [N, H, W, C], row by row; return one image, [rows·H, columns·W, C].

    Empty cells at the end are black.
    """
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, channels), images.dtype)
    sheet[:n] = images
    cells = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)  # [rows, H, columns, W, C]
    return cells.reshape(rows * height, columns * width, channels)


def sheet(images: Images, columns: int) -> Images:
    """Arrange images as `grid` does, for people: RGBA over a checkerboard."""
    return grid(over_checkerboard(images) if images.shape[3] == 4 else images, columns)


def over_checkerboard(images: Images) -> Images:
    """Lay straight RGBA images, uint8 [N, H, W, 4], on a checkerboard of grey and white, as image editors do.

    Return uint8 [N, H, W, 3]. Squares have 8 pixels a side, and fewer in images under 64 pixels.
    """
    _, height, width, _ = images.shape
    square = max(min(8, min(height, width) // 8), 1)
    rows, columns = np.arange(height)[:, None] // square, np.arange(width)[None, :] // square
    ground = np.where((rows + columns) % 2, _GREY, _WHITE)[..., None]  # [H, W, 1]
    return _over(images, ground)


def over_colour(images: Images, colour: Colour) -> Images:
    """Lay straight RGBA images, uint8 [N, H, W, 4], on a colour; return uint8 [N, H, W, 3]."""
    return _over(images, np.array(colour, np.uint32))


def _over(images: Images, ground: NDArray[np.uint32]) -> Images:
    colours, alpha = images[..., :3].astype(np.uint32), images[..., 3:].astype(np.uint32)
    laid = (colours * alpha + ground * (255 - alpha) + 127) // 255
    return laid.astype(np.uint8)


def visible(images: Images) -> Images:
    """Return straight RGBA, uint8 [..., 4], with its colours multiplied by alpha, as comparisons need it.

    The colour of a transparent pixel is not visible, and may be any. Images of other channels are returned as they
    are.
    """
    if images.shape[-1] != 4:
        return images
    alpha = images[..., 3:].astype(np.uint16)
    colours = (images[..., :3] * alpha + 127) // 255
    return np.concatenate([colours.astype(np.uint8), images[..., 3:]], -1)

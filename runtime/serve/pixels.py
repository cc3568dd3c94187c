"""Images as clients want to see them: their form in a format, another size, a sheet."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from gantool.runtime.colours import colour
from gantool.runtime.errors import UsageError
from gantool.runtime.outputs import encoding
from gantool.runtime.outputs.encoding import BITS_16, Encoding
from gantool.runtime.outputs.images import eight_bits, over_colour, sheet
from gantool.runtime.outputs.sheet import MAX_SHEET
from gantool.runtime.spec import Images, Spec

Name: TypeAlias = Literal["png", "webp", "jpg"]
GROUND = "white"  # that JPEG shows transparent images on
MEDIA_TYPES: dict[Name, str] = {name: encoding.MEDIA_TYPES[name] for name in get_args(Name)}


def encode(image: Images, name: Name, size: int | None = None, packet: bytes | None = None) -> bytes:
    """Return one image, [H, W, C], as a file; `size`: pixels of its longer side; `packet`: XMP with its mark.

    At its own size it has the bytes of `gantool generate`. JPEG has no transparency, and shows RGBA on white. JPEG,
    WebP and an image of another size have 8 bits.
    """
    if image.dtype == np.uint16 and (name not in BITS_16 or size is not None):
        image = eight_bits(image)
    if size is not None:
        image = resized(image, size)
    if name == "jpg" and image.shape[2] == 4:
        image = over_colour(image, colour(GROUND))
    return Encoding(name).encode(image, packet)


def resized(image: Images, size: int) -> Images:
    """Return an image, uint8 [H, W, C], whose longer side has `size` pixels (Lanczos)."""
    height, width, channels = image.shape
    part = size / max(height, width)
    sides = (max(1, round(width * part)), max(1, round(height * part)))
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    return np.asarray(picture.resize(sides, Image.Resampling.LANCZOS)).reshape(sides[1], sides[0], channels)


def columns_of(count: int, columns: int | None) -> int:
    """Return the columns of a sheet of `count` images: those that were asked for, or about a square."""
    return min(columns or math.ceil(math.sqrt(count)), count)


def check_sheet(spec: Spec, count: int, columns: int) -> None:
    """Raise UsageError for a sheet that is too large."""
    width, height = columns * spec.width, -(-count // columns) * spec.height
    if width * height > MAX_SHEET or max(width, height) > 65_535:
        raise UsageError(f"a sheet of {width:,}×{height:,} pixels is too large: give fewer seeds")


def encode_sheet(images: Images, columns: int, packet: bytes | None = None) -> bytes:
    """Return images, [N, H, W, C], as one PNG with its mark: the bytes of grid.png by `gantool generate --grid`."""
    return Encoding().encode(sheet(images, columns), packet)


def ground(spec: Spec, name: Name) -> str | None:
    """Return the colour that images of an engine lie on in a format; None: they lie on none."""
    return GROUND if name == "jpg" and spec.channels == 4 else None

"""Decode one image file to a uint8 image of one size for training."""

from __future__ import annotations

import io
import re
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from gantool.models.config import Size
from gantool.runtime.colours import colour
from gantool.runtime.outputs.images import visible
from gantool.train.data.fitting import Fit, contained, cropped, other_aspect
from gantool.train.data.sniff import START, what_else

# Pillow must not try other formats, whatever the name of the file: for some, it starts other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
KINDS = "PNG, JPEG, WebP, GIF, BMP and TIFF"  # for people

MIN_SIDE = 4  # pixels: smaller images are tracking pixels of web pages
CONTRAST = 16  # an image whose pixels span fewer grey levels is blank, or nearly so
DEPTHS = (8, 10, 12, 14, 16)  # numbers of bits that cameras and scanners use in files of 16 bits

_DEEP = re.compile(";16[BLN]$")  # byte order: big, little, or native
_OPPOSITE_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

_LARGE = threading.Lock()
_LARGE_PIXELS = 1 << 24

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Into:
    """The format into which all images of a set are converted."""

    size: Size
    channels: int | None = None  # 1, 3 or 4; None: 1 for a grey image, 3 for one with colour
    background: str | None = None  # behind transparent images: white, black or #rrggbb; None: see `ground`
    bits: int = 16  # used in files of 16 bits: with 12, level 4095 is white
    fit: Fit = "crop"  # how images of another aspect are made to fit

    @property
    def ground(self) -> str | None:
        """The colour on which transparent images are laid; None: they stay transparent, with four channels."""
        if self.background is None and self.channels != 4:
            return "white"
        return self.background


@dataclass(frozen=True)
class Fitted:
    """One converted image, and facts about the original."""

    pixels: NDArray[np.uint8]  # [H, W, C]
    sides: tuple[int, int]  # width and height of the original, after rotation
    other_aspect: bool = False  # than the size
    transparent: bool = False  # at least in part
    hidden: bool = False  # blank on this background, but not on the opposite one
    deepest: int | None = None  # largest level in a file of 16 bits; None for other files
    several: bool = False  # the file has several pages or frames; this is the first

    @property
    def blank(self) -> bool:
        """Whether the image is one flat colour, or nearly so."""
        return _span(visible(self.pixels)) < CONTRAST


def opposite(background: str) -> str:
    """Return the colour, black or white, that contrasts with `background`."""
    return "black" if sum(colour(background)) > 3 * 127 else "white"


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image file of one of FORMATS; `fit` decodes its pixels later.

    Raises Pillow's errors for a file that it cannot read, and ValueError for an image of fewer than MIN_SIDE pixels
    per side or of more than Pillow's `Image.MAX_IMAGE_PIXELS`. Pillow itself only warns up to twice that number.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if what := what_else(data[:START]):
            raise ValueError(f"it {what}") from error
        raise
    return checked(image)


def checked(image: Image.Image) -> Image.Image:
    """Return the image itself. Raises ValueError if it is too small or too large."""
    if min(image.size) < MIN_SIDE:
        raise ValueError(f"it is {image.width}×{image.height} pixels: under {MIN_SIDE} a side")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise ValueError(f"{image.width} x {image.height} pixels are over the limit of {limit:,}")
    return image


def is_grey(image: Image.Image, into: Into) -> bool:
    """Return whether an image is grey, by its header, after it is laid on the background."""
    framed = into.fit == "pad" and other_aspect(image.size, into.size)
    if (image.has_transparency_data or framed) and not _is_grey(into.ground or "white"):
        return False
    return _is_grey_mode(image)


def _is_grey(background: str) -> bool:
    return len(set(colour(background))) == 1


def _is_grey_mode(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def fit(image: Image.Image, into: Into) -> Fitted:
    """Rotate an image by its EXIF orientation, make it fit the aspect, blend it with the background, resize it.

    The filter is Lanczos with antialiasing, as in StyleGAN's dataset_tool.py. Of several pages or frames, take the
    first. Raises Pillow's errors for damaged pixels, and ValueError for an image without pixels or of a kind whose
    range of levels is unknown.
    """
    # one large image at a time: a small file may need 1.5 GB while it is converted
    with _LARGE if image.width * image.height > _LARGE_PIXELS else nullcontext():
        several = _several(image)
        deep = _deep_colour(image)
        lower = _lower_bytes(image) if deep and (into.bits < 16 or "transparency" in image.info) else None
        image.load()
        if min(image.size) < 1:
            raise ValueError("it has no pixels")
        image = _upright(image)
        sides, image = image.size, _of_aspect(image, into)
        deepest = None
        if image.mode.startswith("I"):
            image, deepest = _shallow(image, into.bits)
        elif deep:
            image, deepest = _shallow_colour(image, lower and _of_aspect(lower, into), into.bits)
        transparent, hidden, ground = is_transparent(image), False, into.ground
        pixels = _resized(_blended(image, ground), into)
        if transparent and ground is not None and _span(pixels) < CONTRAST:
            other = _resized(_blended(image, opposite(ground)), into)
            hidden = _span(other) >= CONTRAST
    return Fitted(pixels, sides, other_aspect(sides, into.size), transparent, hidden, deepest, several)


def _span(pixels: NDArray[np.uint8]) -> int:
    """Return the difference between the brightest and the darkest level of the channel where it is largest."""
    flat = pixels.reshape(-1, pixels.shape[2])  # [H·W, C]
    return int((flat.max(0).astype(np.int16) - flat.min(0)).max())


def _resized(image: Image.Image, into: Into) -> NDArray[np.uint8]:
    """Return an image of mode L, RGB or RGBA as uint8 [H, W, C]."""
    if into.channels == 1:
        image = image.convert("L")
    elif into.channels == 4:
        image = image.convert("RGBA")
    height, width = into.size
    inside = contained(image.size, into.size) if into.fit == "pad" else (width, height)
    if image.size != inside:
        image = image.resize(inside, Image.Resampling.LANCZOS)  # RGBA is premultiplied while it is resized
    if inside != (width, height):
        image = _framed(image, into)
    pixels = np.asarray(image, dtype=np.uint8).reshape(height, width, -1)  # [H, W, C]
    if into.channels == 3 and pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)  # [H, W, 3]
    return pixels if pixels.shape[2] != 4 else pixels * (pixels[..., 3:] > 0)  # no colour where none is seen


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # for damaged EXIF, Pillow can raise many errors; the pixels are still good
        return image
    return image if turn is None else image.transpose(turn)


def _of_aspect(image: Image.Image, into: Into) -> Image.Image:
    """Crop an image to the aspect of the size, if that is how it is made to fit."""
    if into.fit != "crop" or not other_aspect(image.size, into.size):
        return image
    return image.crop(cropped(image.size, into.size))


def _framed(image: Image.Image, into: Into) -> Image.Image:
    """Lay an image of mode L, RGB or RGBA in the middle of a frame of the background, or of transparency."""
    height, width = into.size
    if into.ground is None:
        frame = Image.new("RGBA", (width, height))
    else:
        if image.mode == "L" and not _is_grey(into.ground) and into.channels != 1:
            image = image.convert("RGB")
        frame = Image.new("RGB", (width, height), colour(into.ground)).convert(image.mode)
    frame.paste(image, ((frame.width - image.width) // 2, (frame.height - image.height) // 2))
    return frame


def _shallow(image: Image.Image, bits: int) -> tuple[Image.Image, int]:
    """Convert a grey image of 16 bits (mode I;16, in older Pillow also I) to 8; return it and its largest level."""
    levels = np.asarray(image)  # [H, W]
    low, high = int(levels.min()), int(levels.max())
    if low < 0 or high > 65535:
        raise ValueError(f"its levels go from {low:,} to {high:,}: scale them to 0 to 65,535 first")
    scaled = _eight(levels, bits)
    if (clear := image.info.get("transparency")) is not None:  # the level that marks transparent pixels
        seen = levels != clear
        high = int(levels[seen].max(initial=0))  # without the mark, which can be any level
        scaled = np.dstack([scaled, np.uint8(255) * seen])  # [H, W, 2]
    return Image.fromarray(scaled), high


def _deep_colour(image: Image.Image) -> bool:
    """Return whether a file has 16 bits per channel, of which Pillow reads only the upper eight."""
    tiles: list[Any] = getattr(image, "tile", [])  # only an image from a file has tiles
    return (
        image.mode in ("RGB", "RGBA") and bool(tiles) and _DEEP.search(_raw_mode(tiles[0].args)) is not None
    )


def _raw_mode(args: Any) -> str:
    """Return Pillow's name for how a tile of a file stores pixels: "RGB;16B"."""
    return str(args if isinstance(args, str) else args[0])


def _lower_bytes(image: Image.Image) -> Image.Image:
    """Return the lower eight of 16 bits per channel, by reading the same file with the opposite byte order."""

    def swapped(args: Any) -> Any:
        raw = _raw_mode(args)
        lower = "RGBA" if raw == "LA;16B" else raw[:-1] + _OPPOSITE_ORDER[raw[-1]]  # there is no LA;16L
        return lower if isinstance(args, str) else (lower, *args[1:])

    again: Any = Image.open(io.BytesIO(image.fp.getvalue()), formats=FORMATS)  # type: ignore[attr-defined]
    grey = _raw_mode(again.tile[0].args) == "LA;16B"
    again.tile = [tile._replace(args=swapped(tile.args)) for tile in again.tile]
    again.load()
    again = _upright(again)
    if grey:
        _, level, _, alpha = again.split()
        again = Image.merge("RGBA", (level, level, level, alpha))
    return cast("Image.Image", again)


def _shallow_colour(image: Image.Image, lower: Image.Image | None, bits: int) -> tuple[Image.Image, int]:
    """Combine upper and lower bytes of a colour image, scale them to 8 bits; return it and its largest level."""
    upper = np.asarray(image)  # [H, W, 3 or 4]
    if lower is None:
        return image, int(upper[..., :3].max()) * 256 + 255
    levels = upper.astype(np.int32) * 256 + np.asarray(lower)
    colours, alpha = levels[..., :3], upper[..., 3:]
    high = int(colours.max())
    if (clear := image.info.get("transparency")) is not None:  # the colour that marks transparent pixels
        seen = (levels != clear).any(2)
        high = int(colours[seen].max(initial=0))
        alpha = np.uint8(255) * seen[..., None]
    elif alpha.size and levels[..., 3].max() < 2**bits:  # alpha uses as many bits as the colours
        alpha = _eight(levels[..., 3:], bits)
    return Image.fromarray(np.dstack([_eight(colours, bits), alpha])), high


def _eight(levels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Scale levels of `bits` bits, of any shape, to uint8."""
    top = 2**bits - 1
    scaled: NDArray[np.int32] = (np.minimum(levels, top).astype(np.int32) * 255 + top // 2) // top
    return scaled.astype(np.uint8)


def _several(image: Image.Image) -> bool:
    """Return whether a file has a second page or frame. A preview that a camera adds to a JPEG does not count."""
    if image.format not in ("TIFF", "GIF", "WEBP", "PNG"):
        return False
    try:
        if image.format != "TIFF":
            return bool(getattr(image, "is_animated", False))
        image.seek(1)  # faster than counting all pages
    except Exception:  # a damaged second page does not affect the first
        return False
    finally:
        image.seek(0)
    return True


def is_transparent(image: Image.Image) -> bool:
    """Return whether an image is transparent, at least in part."""
    if not image.has_transparency_data:
        return False
    alpha = image if "A" in image.getbands() else image.convert("LA" if image.mode == "La" else "RGBA")
    lowest, _ = alpha.getchannel("A").getextrema()
    return bool(lowest < 255)  # type: ignore[operator]  # one band, so it is not a tuple


def _blended(image: Image.Image, background: str | None) -> Image.Image:
    """Blend an image with the background; return it in mode L or RGB. Without one, return it in mode RGBA."""
    if image.mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers, of no known range: write them as 8 or 16 bits"
        )
    if not image.has_transparency_data:
        opaque = "L" if _is_grey_mode(image) else "RGB"
        return image if image.mode == opaque else image.convert(opaque)
    if image.mode == "La":
        image = image.convert("LA")
    if background is None:
        return image.convert("RGBA")
    grey = _is_grey_mode(image) and _is_grey(background)
    opaque = "L" if grey else "RGB"
    image = image.convert("LA" if grey else "RGBA")
    flat = Image.new(opaque, image.size, colour(background)[0] if grey else colour(background))
    flat.paste(image.convert(opaque), mask=image.getchannel("A"))
    return flat

"""Decode one image file to a uint8 image of one size for training."""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from gantool.models.config import Size
from gantool.runtime.colours import colour
from gantool.runtime.outputs.images import eight_bits, visible
from gantool.train.data.deep import (
    Bounds,
    grey_levels,
    is_deep_colour,
    lower_bytes,
    shallow,
    shallow_colour,
)
from gantool.train.data.fitting import Fit, contained, cropped, other_aspect
from gantool.train.data.ground import (
    blended,
    grey_level,
    is_grey_colour,
    is_grey_mode,
    is_transparent,
    opposite,
)
from gantool.train.data.levels import WHOLE, bounds
from gantool.train.data.sniff import START, what_else

# Pillow must not try other formats, whatever the name of the file: for some, it starts other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
KINDS = "PNG, JPEG, WebP, GIF, BMP and TIFF"  # for people

MIN_SIDE = 4  # pixels: smaller images are tracking pixels of web pages
CONTRAST = 16  # an image whose pixels span fewer grey levels is blank, or nearly so
DEPTHS = (8, 10, 12, 14, 16)  # numbers of bits that cameras and scanners use in files of 16 bits

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
    fit: Fit = "crop"  # how images of another aspect ratio are made to fit
    kept_bits: int = 8  # of each level of the pixels; 16 with one channel alone
    levels: str | None = None  # of files of 16 bits, that become black and white: LOW-HIGH; None: by `bits`

    @property
    def ground(self) -> str | None:
        """The colour on which transparent images are laid; None: they stay transparent, with four channels."""
        if self.background is None and self.channels != 4:
            return "white"
        return self.background

    @property
    def bounds(self) -> Bounds:
        """The levels of files of 16 bits that become black and white."""
        if self.levels is not None:
            return bounds(self.levels)
        return WHOLE if self.kept_bits == 16 else (0, 2**self.bits - 1)


@dataclass(frozen=True)
class Fitted:
    """One converted image, and facts about the original."""

    pixels: NDArray[Any]  # [H, W, C], uint8, or uint16 with `kept_bits` 16
    sides: tuple[int, int]  # width and height of the original, after rotation
    other_aspect: bool = False  # than the size
    transparent: bool = False  # at least in part
    hidden: bool = False  # blank on this background, but not on the opposite one
    span: Bounds | None = None  # smallest and largest level in a file of 16 bits; None for other files
    several: bool = False  # the file has several pages or frames; this is the first

    @property
    def blank(self) -> bool:
        """Whether the image is one flat colour, or nearly so."""
        return _span(visible(self.pixels)) < CONTRAST


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image file of one of FORMATS; `fit` decodes its pixels later.

    Raises Pillow's errors for a damaged file, and ValueError for a file of another kind and for an image of fewer
    than MIN_SIDE pixels per side or of more than Pillow's `Image.MAX_IMAGE_PIXELS`. Pillow itself only warns up to
    twice that number.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        what = (
            what_else(data[:START])
            or f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, or it is damaged"
        )
        raise ValueError(f"it {what}") from error
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
    if (image.has_transparency_data or framed) and not is_grey_colour(into.ground or "white"):
        return False
    return is_grey_mode(image)


def fit(image: Image.Image, into: Into) -> Fitted:
    """Rotate an image by its EXIF orientation, make it fit the aspect, blend it with the background, resize it.

    The filter is Lanczos with antialiasing, as in StyleGAN's dataset_tool.py. Of several pages or frames, take the
    first. Raises Pillow's errors for damaged pixels, and ValueError for an image without pixels or of a kind whose
    range of levels is unknown.
    """
    # one large image at a time: a small file may need 1.5 GB while it is converted
    with _LARGE if image.width * image.height > _LARGE_PIXELS else nullcontext():
        several = _several(image)
        deep = is_deep_colour(image)
        all_bits = into.bits < 16 or into.levels is not None or "transparency" in image.info
        lower = lower_bytes(image) if deep and all_bits else None
        image.load()
        if min(image.size) < 1:
            raise ValueError("it has no pixels")
        image = _upright(image)
        sides, image = image.size, _of_aspect(image, into)
        span = None
        if into.kept_bits == 16:
            return _sixteen(
                image, into, Fitted(np.empty(0), sides, other_aspect(sides, into.size), several=several)
            )
        if image.mode.startswith("I"):
            image, span = shallow(image, into.bounds)
        elif deep:
            lower = lower and _of_aspect(_upright(lower), into)
            image, span = shallow_colour(image, lower, into.bits, into.bounds)
        transparent, hidden, ground = is_transparent(image), False, into.ground
        pixels = _resized(blended(image, ground), into)
        if transparent and ground is not None and _span(pixels) < CONTRAST:
            other = _resized(blended(image, opposite(ground)), into)
            hidden = _span(other) >= CONTRAST
    return Fitted(pixels, sides, other_aspect(sides, into.size), transparent, hidden, span, several)


def _sixteen(image: Image.Image, into: Into, fitted: Fitted) -> Fitted:
    """Complete `fitted` by the pixels of an image as uint16 [H, W, 1]; those of 8 bits are stretched to 16."""
    ground = float(grey_level(colour(into.ground or "white")) * 257)
    transparent, span = is_transparent(image), None
    if image.mode.startswith("I"):
        levels, seen, span = grey_levels(image)
    else:
        levels, seen = (
            np.asarray(blended(image, into.ground or "white").convert("L")).astype(np.int32) * 257,
            None,
        )
    low, high = into.bounds
    scaled = (np.clip(levels, low, high).astype(np.float32) - low) * np.float32(
        65535 / (high - low)
    )  # [h, w]
    if seen is not None:
        scaled = np.where(seen, scaled, np.float32(ground))
    grey = Image.fromarray(scaled)
    height, width = into.size
    inside = contained(grey.size, into.size) if into.fit == "pad" else (width, height)
    if grey.size != inside:
        grey = grey.resize(inside, Image.Resampling.LANCZOS)
    frame = Image.new("F", (width, height), ground)
    frame.paste(grey, ((width - grey.width) // 2, (height - grey.height) // 2))
    pixels = np.clip(np.rint(np.asarray(frame)), 0, 65535).astype(np.uint16)[..., None]  # [H, W, 1]
    return replace(fitted, pixels=pixels, transparent=transparent, span=span)


def _span(pixels: NDArray[Any]) -> int:
    """Return the difference between the brightest and the darkest level of the channel where it is largest."""
    flat = eight_bits(pixels).reshape(-1, pixels.shape[2])  # [H·W, C]
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
        if image.mode == "L" and not is_grey_colour(into.ground) and into.channels != 1:
            image = image.convert("RGB")
        frame = Image.new("RGB", (width, height), colour(into.ground)).convert(image.mode)
    frame.paste(image, ((frame.width - image.width) // 2, (frame.height - image.height) // 2))
    return frame


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

"""From the bytes of one image file to the square of uint8 that a network is trained on."""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from gantool.runtime.terminal import printable as printable

# Other formats are not even tried, whatever the file is called: some of Pillow's start other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")

MIN_SIDE = 4  # pixels: smaller ones are tracking pixels of web pages

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


def open_image(data: bytes) -> Image.Image:
    """Read the header of an image file, PNG, JPEG, WebP, GIF or BMP; its pixels are decoded later, by `fit`.

    Raises whatever Pillow raises for a file that it cannot read, and ValueError for one of fewer than MIN_SIDE
    pixels a side or of more than Pillow's `Image.MAX_IMAGE_PIXELS`, where Pillow itself only warns up to
    twice that.
    """
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if min(image.size) < MIN_SIDE:
        raise ValueError(f"it is {image.width}×{image.height} pixels: under {MIN_SIDE} a side")
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise ValueError(f"{image.width} x {image.height} pixels are over the limit of {limit:,}")
    return image


def fit(image: Image.Image, size: int, channels: int | None = None) -> NDArray[np.uint8]:
    """Turn any image upright, crop it to the square in its middle and resize that: uint8 [size, size, C].

    C is `channels`, or where that is None 1 for a grey image and 3 for one of colour. Transparency is laid
    over white. The filter is Lanczos with antialiasing, as in StyleGAN's dataset_tool.py. Raises whatever
    Pillow raises for broken pixels, and ValueError for an image of none or of a kind without a known range.
    """
    # a small file may unpack to some 1.5 GB on the way through: only one such at a time
    with _LARGE if image.width * image.height > _LARGE_PIXELS else nullcontext():
        image.load()
        if min(image.size) < 1:
            raise ValueError("it has no pixels")
        image = _eight_bits(_square(_upright(image)))  # mode L or RGB
        if channels == 1:
            image = image.convert("L")
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.uint8).reshape(size, size, -1)  # [H, W, 1 or 3]
    if channels == 3 and pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)  # [H, W, 3]
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF, for which Pillow has many errors, takes nothing from the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image if image.width == image.height else image.crop((left, top, left + side, top + side))


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits a pixel: I;16, or I where an older Pillow opened a PNG
        deep = np.clip(np.asarray(image).astype(np.int32), 0, 65535)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is not known")
    grey = image.mode in ("1", "L", "LA", "La")
    opaque = "L" if grey else "RGB"
    if not image.has_transparency_data:
        return image if image.mode == opaque else image.convert(opaque)
    image = image.convert("LA" if grey else "RGBA")
    flat = Image.new(opaque, image.size, "white")
    flat.paste(image.convert(opaque), mask=image.getchannel("A"))
    return flat

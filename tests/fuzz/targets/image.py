"""One image of a data set: PNG, JPEG, WebP, GIF, BMP or TIFF of any mode and depth.

Images of over a million pixels are refused here, so that an input takes milliseconds; users have Pillow's limit.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
from PIL import Image

from fuzz.mutate import mended, png_checksums
from gantool.models.config import square
from gantool.train.data.dataset import decoded
from gantool.train.data.decode import Into, open_image
from gantool.train.data.listing import Listing

MUTATE = mended(png_checksums)
_PIXELS = 1 << 20
_WAYS = (
    Into(square(4)),
    Into(square(8), 1, kept_bits=16),
    Into(square(8), 3, "#80ff00", fit="pad", bits=12),
    Into(square(6), 4, fit="stretch", levels="100-2000"),
)


def seeds() -> Iterator[bytes]:
    colours = np.arange(5 * 6 * 4, dtype=np.uint8).reshape(5, 6, 4) * 2
    rgba, rgb = Image.fromarray(colours), Image.fromarray(colours[..., :3].copy())
    grey, deep = rgb.convert("L"), Image.fromarray(np.arange(30, dtype=np.uint16).reshape(5, 6) * 100)
    for number, (picture, form) in enumerate(
        (
            *(
                (rgba, "PNG"),
                (rgb, "JPEG"),
                (rgba, "WEBP"),
                (grey, "GIF"),
                (rgb, "BMP"),
                (rgb, "TIFF"),
                (deep, "PNG"),
            ),
            *(
                (deep, "TIFF"),
                (grey.convert("1"), "PNG"),
                (rgb.convert("P"), "PNG"),
                (rgb.convert("CMYK"), "JPEG"),
            ),
            *((rgba.convert("LA"), "PNG"), (rgb.convert("CMYK"), "TIFF"), (grey.convert("1"), "TIFF")),
        )
    ):
        yield bytes((number,)) + saved(picture, form)
    yield b"\0" + saved(rgb, "JPEG", exif=_turned())
    yield b"\1" + saved(grey, "GIF", save_all=True, append_images=[grey.rotate(90)])
    yield b"\2" + saved(grey, "PNG", transparency=3)
    yield b"\3" + saved(rgb, "TIFF", compression="tiff_lzw")


def run(data: bytes) -> None:
    into = _WAYS[data[0] % len(_WAYS)] if data else _WAYS[0]
    with patch.object(Image, "MAX_IMAGE_PIXELS", _PIXELS):
        (result,) = decoded(Listing(["a.png"], lambda _: open_image(data[1:]), tiny=True), into)
    if isinstance(result, str):
        assert result.isprintable()
        assert len(result) < 1000
    else:
        assert result.pixels.shape[:2] == (*into.size,)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif

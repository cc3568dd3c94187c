"""Open a picture that may come from anyone."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from gantool.runtime.errors import GantoolError

# Pillow must not try others, whatever the name of the file: for EPS, it starts Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000")
MAX_PIXELS = 1 << 24  # 4,096 × 4,096: a PNG of a few kilobytes may have billions
# Pillow's errors for a damaged file
ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, struct.error, zlib.error),
    Image.DecompressionBombError,
)


def header_of(path: Path) -> Image.Image:
    """Read the header of a picture; its pixels are not decoded. Raises one of ERRORS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def small_enough(picture: Image.Image) -> bool:
    """Return whether the pixels may be decoded."""
    return picture.width * picture.height <= MAX_PIXELS


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture for its pixels. Raises GantoolError, also inside the block, if it is damaged or too large."""
    try:
        with header_of(path) as picture:
            if not small_enough(picture):
                raise GantoolError(f"it has {picture.width:,}×{picture.height:,} pixels, which is too large")
            yield picture
    except ERRORS as error:
        raise GantoolError(f"its pixels are damaged ({type(error).__name__})") from error

"""Encode one image as the bytes of a file, and decode it."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from gantool.runtime.errors import UsageError
from gantool.runtime.spec import Images

Name = Literal["png", "webp", "jpg"]
ENCODINGS: tuple[Name, ...] = get_args(Name)
_LEVELS = {"png": 9, "webp": 6}  # the highest level of each format
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by channels
_PILLOW = {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}


@dataclass(frozen=True)
class Encoding:
    """A format and its settings.

    `level` is the compression effort of PNG (0 to 9) and lossless WebP (0 to 6); None is fast and compresses well.
    `quality` is for JPEG, 1 to 100. Raises UsageError for an option that the format does not have.
    """

    format: Name = "png"
    level: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        highest = _LEVELS.get(self.format)
        if self.level is not None and (highest is None or not 0 <= self.level <= highest):
            has = "JPEG has `quality`" if highest is None else f"{self.format} has 0 to {highest}"
            raise UsageError(f"`level` {self.level}: {has}")
        if self.quality is not None and (self.format != "jpg" or not 1 <= self.quality <= 100):
            has = "jpg has 1 to 100" if self.format == "jpg" else f"{self.format} is lossless; see `level`"
            raise UsageError(f"`quality` {self.quality}: {has}")

    def encode(self, image: Images) -> bytes:
        """Return one image, uint8 [H, W, C], as a file; JPEG has no RGBA. Pillow releases the GIL."""
        file = io.BytesIO()
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        picture.save(file, _PILLOW[self.format], **self._options())
        return file.getvalue()

    def decode(self, file: Path | io.BytesIO, height: int, width: int, channels: int) -> Images | None:
        """Return uint8 [H, W, C], or None if `file` is not a whole image of this format and size.

        PNG has checksums, so a changed byte is detected. In the other formats, only missing bytes are.
        """
        try:
            data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
            with Image.open(io.BytesIO(data), formats=[_PILLOW[self.format]]) as picture:
                if picture.size != (width, height) or not self._ends(data):
                    return None
                pixels = np.asarray(picture.convert(_MODES[channels]))
        except FileNotFoundError:
            return None
        except (OSError, SyntaxError, ValueError, EOFError, zlib.error):  # Pillow's errors for a damaged file
            return None
        return pixels.reshape(height, width, channels)

    def round_trip(self, image: Images) -> Images:
        """Encode an image and decode it again; return it, uint8 [H, W, C]."""
        decoded = self.decode(io.BytesIO(self.encode(image)), *image.shape)
        assert decoded is not None
        return decoded

    def _ends(self, data: bytes) -> bool:
        """Return whether the file ends as its format requires: Pillow accepts a file once it has the pixels."""
        if self.format == "webp":
            return len(data) == int.from_bytes(data[4:8], "little") + 8
        return data.endswith(b"IEND\xaeB\x60\x82" if self.format == "png" else b"\xff\xd9")

    def _options(self) -> dict[str, Any]:
        if self.format == "jpg":
            return {"quality": 90 if self.quality is None else self.quality}
        if self.format == "webp":
            level = self.level or 0
            # exact: also the colour of transparent pixels
            return {
                "lossless": True,
                "exact": True,
                "method": level,
                "quality": level * 100 // _LEVELS["webp"],
            }
        if self.level is None:
            # Run-length encoding only, without a search for repeated strings. Files are within a percent of level
            # 6, because Pillow filters rows in both cases, and a 256-pixel image takes a third of the time.
            return {"compress_level": 1, "compress_type": zlib.Z_RLE}
        return {"compress_level": self.level}

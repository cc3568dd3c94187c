"""One image as the bytes of a file, and back."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gantool.runtime.errors import UsageError

FORMATS = ("png", "webp", "jpg")
_LEVELS = {"png": 9, "webp": 6}  # the largest of each
_PILLOW = {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}


@dataclass(frozen=True)
class Encoding:
    """How an image becomes bytes.

    `level` is the effort of PNG (0 to 9) and lossless WebP (0 to 6), None for the fastest that compresses well;
    `quality` is that of JPEG, 1 to 100. Raises UsageError for what a format does not have.
    """

    format: Literal["png", "webp", "jpg"] = "png"
    level: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        highest = _LEVELS.get(self.format)
        if self.level is not None and (highest is None or not 0 <= self.level <= highest):
            has = "JPEG has --quality" if highest is None else f"{self.format} has 0 to {highest}"
            raise UsageError(f"--level {self.level}: {has}")
        if self.quality is not None and (self.format != "jpg" or not 1 <= self.quality <= 100):
            has = "jpg has 1 to 100" if self.format == "jpg" else f"{self.format} is lossless; see --level"
            raise UsageError(f"--quality {self.quality}: {has}")

    def encode(self, image: NDArray[np.uint8]) -> bytes:
        """Return one image, uint8 [H, W, C] with C 1 or 3, as a file. Pillow works outside of Python's lock."""
        file = io.BytesIO()
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        picture.save(file, _PILLOW[self.format], **self._options())
        return file.getvalue()

    def decode(self, file: Path | io.BytesIO, height: int, width: int, channels: int) -> NDArray[Any] | None:
        """Return uint8 [H, W, C], or None if `file` is no whole image of this format and size.

        A changed byte shows in PNG, which has check sums; in the others only what is missing does.
        """
        try:
            data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
            with Image.open(io.BytesIO(data), formats=[_PILLOW[self.format]]) as picture:
                if picture.size != (width, height) or not self._ends(data):
                    return None
                pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
        except FileNotFoundError:
            return None
        except (OSError, SyntaxError, ValueError, EOFError, zlib.error):  # Pillow's words for damage
            return None
        return pixels.reshape(height, width, channels)

    def _ends(self, data: bytes) -> bool:
        """Whether the end of the file is there: Pillow is content with the pixels."""
        if self.format == "webp":
            return len(data) == int.from_bytes(data[4:8], "little") + 8
        return data.endswith(b"IEND\xaeB\x60\x82" if self.format == "png" else b"\xff\xd9")

    def _options(self) -> dict[str, Any]:
        if self.format == "jpg":
            return {"quality": 90 if self.quality is None else self.quality}
        if self.format == "webp":
            level = self.level or 0
            return {"lossless": True, "method": level, "quality": level * 100 // _LEVELS["webp"]}
        if self.level is None:
            # Runs alone, no search for repeats: the files are as small as those of level 6, to a percent, since
            # Pillow filters rows either way; 256 pixels take a third of the time.
            return {"compress_level": 1, "compress_type": zlib.Z_RLE}
        return {"compress_level": self.level}

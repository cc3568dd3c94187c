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
from gantool.runtime.provenance.embed import in_png, saving, tiff_end
from gantool.runtime.provenance.pictures import ERRORS
from gantool.runtime.spec import Images

Name = Literal["png", "webp", "jpg", "tiff"]
ENCODINGS: tuple[Name, ...] = get_args(Name)
_LEVELS = {"png": 9, "webp": 6}  # the highest level of each format
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by channels
MEDIA_TYPES: dict[Name, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "tiff": "image/tiff",
}
_PILLOW = {"png": "PNG", "webp": "WEBP", "jpg": "JPEG", "tiff": "TIFF"}
BITS_16: tuple[Name, ...] = ("png", "tiff")  # formats that hold them


@dataclass(frozen=True)
class Encoding:
    """A format and its settings.

    `level` is the compression effort of PNG (0 to 9) and lossless WebP (0 to 6); None is fast and compresses well.
    `quality` is for JPEG, 1 to 100. TIFF is not compressed. Raises UsageError for an option that the format does
    not have.
    """

    format: Name = "png"
    level: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        highest = _LEVELS.get(self.format)
        if self.level is not None and (highest is None or not 0 <= self.level <= highest):
            other = "JPEG has `quality`" if self.format == "jpg" else f"{self.format} is not compressed"
            has = other if highest is None else f"{self.format} has 0 to {highest}"
            raise UsageError(f"`level` {self.level}: {has}")
        if self.quality is not None and (self.format != "jpg" or not 1 <= self.quality <= 100):
            lossless = f"{self.format} is lossless{'; see `level`' if highest else ''}"
            has = "jpg has 1 to 100" if self.format == "jpg" else lossless
            raise UsageError(f"`quality` {self.quality}: {has}")

    def encode(self, image: Images, packet: bytes | None = None) -> bytes:
        """Return one image, [H, W, C], as a file, with an XMP packet if there is one. Pillow releases the GIL.

        JPEG has no RGBA. PNG and TIFF take uint16 too, of one channel.
        """
        file = io.BytesIO()
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        options = self._options()
        if packet is not None and self.format != "png":
            options |= saving(self.format, packet)
        picture.save(file, _PILLOW[self.format], **options)
        data = file.getvalue()
        return data if packet is None or self.format != "png" else in_png(data, packet)

    def decode(
        self, file: Path | io.BytesIO, height: int, width: int, channels: int, bits: int = 8
    ) -> Images | None:
        """Return [H, W, C] of `bits`, or None if `file` is not a whole image of this format and size.

        PNG has checksums, so a changed byte is detected. In the other formats, only missing bytes are.
        """
        try:
            data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
            if not self._ends(data):
                return None
            with Image.open(io.BytesIO(data), formats=[_PILLOW[self.format]]) as picture:
                deep = picture.mode.startswith("I")  # I;16
                if picture.size != (width, height) or deep != (bits == 16):
                    return None
                pixels = np.asarray(picture if deep else picture.convert(_MODES[channels]), f"uint{bits}")
        except FileNotFoundError:
            return None
        except ERRORS:
            return None
        return pixels.reshape(height, width, channels)

    def round_trip(self, image: Images) -> Images:
        """Encode an image and decode it again; return it, [H, W, C]."""
        height, width, channels = image.shape
        bits = 8 * image.dtype.itemsize
        decoded = self.decode(io.BytesIO(self.encode(image)), height, width, channels, bits)
        assert decoded is not None
        return decoded

    def _ends(self, data: bytes) -> bool:
        """Return whether the file ends as its format requires: Pillow accepts a file once it has the pixels."""
        if self.format == "webp":
            return len(data) == int.from_bytes(data[4:8], "little") + 8
        if self.format == "tiff":
            return len(data) == tiff_end(data) > 0
        return data.endswith(b"IEND\xaeB\x60\x82" if self.format == "png" else b"\xff\xd9")

    def _options(self) -> dict[str, Any]:
        if self.format == "tiff":
            return {}
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

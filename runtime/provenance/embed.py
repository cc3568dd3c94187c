"""Where each format of images keeps its XMP: write it there.

PNG    a text chunk `XML:com.adobe.xmp` (XMP specification, part 3)
WebP   a chunk, JPEG a segment: Pillow writes them
TIFF   tag 700
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from PIL import Image

KEYWORD = "XML:com.adobe.xmp"
TIFF_TAG = 700
_OFFSETS, _COUNTS = 273, 279  # tags of the strips of a TIFF
_IHDR_END = 8 + 25  # bytes of a PNG: signature and IHDR


def in_png(data: bytes, packet: bytes) -> bytes:
    """Return a PNG, the bytes of a file, with an XMP packet. Pillow takes longer."""
    return data[:_IHDR_END] + png_chunk(packet) + data[_IHDR_END:]


def png_chunk(packet: bytes) -> bytes:
    """Return the chunk of a PNG that holds an XMP packet."""
    body = b"iTXt" + KEYWORD.encode() + bytes(5) + packet  # not compressed, no language, no translation
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def saving(name: str, packet: bytes) -> dict[str, Any]:
    """Return the options with which Pillow saves webp, jpg and tiff with an XMP packet."""
    return {"tiffinfo": {TIFF_TAG: packet}} if name == "tiff" else {"xmp": packet}


def tiff_end(picture: Image.Image) -> int:
    """Return the offset after the last pixel of a TIFF that is not compressed: its length, as Pillow writes it."""
    tags: Any = picture.tag_v2  # type: ignore[attr-defined]
    return max((start + size for start, size in zip(tags[_OFFSETS], tags[_COUNTS], strict=True)), default=0)

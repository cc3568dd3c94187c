"""Where each format of images keeps its XMP: write it there.

PNG    a text chunk `XML:com.adobe.xmp` (XMP specification, part 3)
WebP   a chunk, JPEG a segment: Pillow writes them
TIFF   tag 700
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

KEYWORD = "XML:com.adobe.xmp"
TIFF_TAG = 700
# Begins 12 bytes after the start of the manifest, in a signed file of any format.
MANIFEST = b"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71"
_C2PA = 0xCD41  # tag of the manifest of a signed TIFF
_OFFSET, _COUNT = 273, 279  # tags of the one strip that has all pixels
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


def tiff_end(data: bytes) -> int:
    """Return the offset after the pixels of a TIFF as Pillow writes it, not compressed; 0 for any other bytes.

    C2PA's library adds another table of tags to it, and then the manifest: then the offset after the manifest.
    """
    try:
        magic, start = struct.unpack_from("<4sI", data)
        (count,) = struct.unpack_from("<H", data, start)
        entries = [struct.unpack_from("<HHII", data, start + 2 + 12 * number) for number in range(count)]
    except struct.error:
        return 0
    for tag, _, size, offset in entries:
        if tag == _C2PA:
            return int(offset + size)
    values = {tag: value for tag, _, values, value in entries if values == 1}
    return values.get(_OFFSET, 0) + values.get(_COUNT, 0) if magic == b"II*\0" else 0

"""Read the mark of an image of any format. The file may come from anyone."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.provenance.embed import KEYWORD, TIFF_TAG
from gantool.runtime.provenance.xmp import Mark, parse_packet


def read_mark(path: Path) -> Mark | None:
    """Return the mark of an image of any format that Pillow opens; None if it has none.

    Raises GantoolError if the file is no image, or if its mark is damaged.
    """
    try:
        with Image.open(path) as picture:
            found = _packet(picture)
    except FileNotFoundError:
        raise GantoolError(f"{path}: there is no such file") from None
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError) as error:
        raise GantoolError(f"{path} is not an image that can be read") from error
    if found is None:
        return None
    try:
        return parse_packet(found)
    except GantoolError as error:
        raise GantoolError(f"{path}: {error}") from None


def _packet(picture: Image.Image) -> bytes | None:
    """Return the XMP packet of an image."""
    if picture.format == "TIFF":
        found: Any = picture.tag_v2.get(TIFF_TAG)  # type: ignore[attr-defined]
    else:
        found = picture.info.get("xmp") or picture.info.get(KEYWORD)
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    return bytes(found) if isinstance(found, (bytes, bytearray)) else None

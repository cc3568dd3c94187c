"""Read the mark of an image or a film of any format. The file may come from anyone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from gantool.runtime.artifacts.kinds import kind_of
from gantool.runtime.errors import GantoolError
from gantool.runtime.provenance import films
from gantool.runtime.provenance.embed import KEYWORD, TIFF_TAG
from gantool.runtime.provenance.pictures import ERRORS, header_of, small_enough
from gantool.runtime.provenance.xmp import Mark, parse_packet


def read_mark(path: Path) -> Mark | None:
    """Return the mark of an image of one of FORMATS, or of an MP4 or a WebM; None if it has none.

    Raises GantoolError if the file is neither, or if its mark is damaged.
    """
    try:
        found = _packet(path)
    except ERRORS as error:
        raise GantoolError(f"{path} {_what(path)}") from error
    if found is None:
        return None
    try:
        return parse_packet(found)
    except GantoolError as error:
        raise GantoolError(f"{path}: {error}") from None


def _what(path: Path) -> str:
    """Return what a file is that could not be read."""
    kind = kind_of(path)
    if kind.name in ("image", "video"):
        return f"{kind.found} that is damaged"
    if kind.name in ("missing", "unreadable", "unknown"):
        return kind.found
    return f"{kind.found}, not an image or a film"


def _packet(path: Path) -> bytes | None:
    """Return the XMP packet of a file."""
    with path.open("rb") as file:
        if (find := films.reader(file.read(12))) is not None:
            return find(file)
    with header_of(path) as picture:
        return _packet_of_image(picture)


def _packet_of_image(picture: Image.Image) -> bytes | None:
    if picture.format == "TIFF":
        found: Any = picture.tag_v2.get(TIFF_TAG)  # type: ignore[attr-defined]
    else:
        found = _in_header(picture)
        if found is None and picture.format == "PNG" and small_enough(picture):
            picture.load()  # exiftool writes XMP after the pixels
            found = _in_header(picture)
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    return bytes(found) if isinstance(found, (bytes, bytearray)) else None


def _in_header(picture: Image.Image) -> Any:
    return picture.info.get("xmp") or picture.info.get(KEYWORD)

"""The mark of a film: XMP in an MP4, a WebM or a GIF."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

from fuzz.harness import put
from fuzz.targets.packet import PACKET
from gantool.runtime.provenance.films import gif_extension, mp4_box, reader
from gantool.runtime.provenance.read import read_mark

_EBML = b"\x1a\x45\xdf\xa3\x80"


def seeds() -> Iterator[bytes]:
    yield (
        b"GIF89a\4\0\4\0\x80\0\0\0\0\0\xff\xff\xff"
        + gif_extension(PACKET)
        + b"\x2c"
        + bytes(9)
        + b"\2\2\x4c\1\0;"
    )
    yield b"GIF87a\4\0\4\0\0\0\0\x21\xf9\4\0\0\0\0\0\x2c;"
    yield b"\0\0\0\x14ftypisom\0\0\0\0mp42\0\0\0\x08free" + mp4_box(PACKET)
    yield b"\0\0\0\x01ftypmp42" + (24).to_bytes(8, "big") + bytes(8) + b"\0\0\0\0mdat"
    simple = element("67c8", element("45a3", b"XMP") + element("4487", PACKET))
    tags = element("1254c367", element("7373", element("63c0", b"") + simple))
    yield _EBML + element("18538067", tags)
    yield _EBML + bytes.fromhex("1853806701ffffffffffffff") + tags


def run(data: bytes) -> None:
    if (find := reader(data[:12])) is not None:
        with suppress(ValueError):
            find(io.BytesIO(data))
    read_mark(put("film", data))


def element(number: str, content: bytes) -> bytes:
    """Return an element of EBML."""
    return bytes.fromhex(number) + (0x10000000 | len(content)).to_bytes(4, "big") + content

"""The mark of an image: XMP in a PNG, WebP, JPEG or TIFF, or in an image of another format."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fuzz.harness import put
from fuzz.mutate import mended, png_checksums
from fuzz.targets.packet import PACKET
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding
from gantool.runtime.provenance.read import read_mark

MUTATE = mended(png_checksums)
# A program for Ghostscript.
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%xmp: <a/>\n%%EndComments\nshowpage\n"
_IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def seeds() -> Iterator[bytes]:
    for name in ENCODINGS:
        yield Encoding(name).encode(_IMAGE, PACKET)
        yield Encoding(name).encode(_IMAGE)
    plain, marked = Encoding().encode(_IMAGE), Encoding().encode(_IMAGE, PACKET)
    chunk = marked[33 : 33 + len(marked) - len(plain)]
    yield plain[:-12] + chunk + plain[-12:]  # after the pixels, as exiftool writes it
    yield EPS


def run(data: bytes) -> None:
    mark = read_mark(put("given", data))
    assert mark is None or mark.record is None or mark.record.graph

"""The pixels of an image of a stranger that a generator may have made: compared, and searched for by its looks."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np

from fuzz.harness import put
from fuzz.mutate import mended, png_checksums
from fuzz.targets import image
from fuzz.targets.mark import EPS
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding
from gantool.runtime.provenance import pictures
from gantool.runtime.provenance.compare import compare
from gantool.runtime.provenance.search import Search

MUTATE = mended(png_checksums)
_IMAGES = {
    channels: np.random.RandomState(0).randint(0, 256, (8, 8, channels)).astype(np.uint8)
    for channels in (1, 3, 4)
}
_PIXELS = 1 << 18


def seeds() -> Iterator[bytes]:
    for channels, pixels in _IMAGES.items():
        for name in ENCODINGS:
            if (name, channels) != ("jpg", 4):
                yield bytes((channels,)) + Encoding(name).encode(pixels)
    yield b"\1" + Encoding().encode(np.arange(64, dtype=np.uint16).reshape(8, 8, 1) * 900)
    yield b"\3" + EPS
    for data in image.seeds():
        yield b"\3" + data[1:]


def run(data: bytes) -> None:
    path = put("a.png", data[1:])
    expected = _IMAGES.get(data[0] if data else 0, _IMAGES[3])
    with patch.object(pictures, "MAX_PIXELS", _PIXELS):
        with pictures.opened(path) as picture:
            found = compare(picture, expected, 16)
        assert found.share <= 1
        search = Search()
        search.want(path)
        search.add([7], expected[None])
        (best,) = search.found()
        assert best.seed == 7

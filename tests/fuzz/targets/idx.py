"""The IDX files of Fashion-MNIST, plain or compressed: images, then labels."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from unittest.mock import patch

from fuzz.harness import folder, put
from gantool.runtime.errors import GantoolError
from gantool.train.data.fashion_mnist import FILE, LABELS_FILE, read_fashion_mnist, read_labels

_IMAGES = struct.pack(">4I", 0x803, 2, 3, 4) + bytes(24)
_LABELS = struct.pack(">2I", 0x801, 2) + b"\3\x09"


def seeds() -> Iterator[bytes]:
    yield _IMAGES
    yield _LABELS
    yield gzip.compress(_IMAGES, mtime=0)
    yield gzip.compress(_LABELS, mtime=0)


def run(data: bytes) -> None:
    with patch.dict(os.environ, GANTOOL_DATA=str(folder())):  # of any content
        _read(data)


def _read(data: bytes) -> None:
    suffix = ".gz" if data.startswith(b"\x1f\x8b") else ""
    with suppress(GantoolError):
        images = read_fashion_mnist(put(f"{FILE}{suffix}", data))
        assert images.ndim == 3
    labels = read_labels(put(f"{LABELS_FILE}{suffix}", data), 2)
    assert 0 <= labels.min() <= labels.max() <= 9

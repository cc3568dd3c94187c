"""A data set in one array: .npy or .npz."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from fuzz.harness import put
from gantool.models.config import square
from gantool.train.data.dataset import decoded
from gantool.train.data.decode import Into
from gantool.train.data.sources import find_source

_INTO = Into(square(4))
_READ = 16  # images at most: 50 bytes may promise millions


def seeds() -> Iterator[bytes]:
    grey = np.zeros((2, 4, 4), np.uint8)
    yield saved(grey)
    yield saved(np.zeros((1, 5, 4, 3), np.uint8, order="F"))
    yield saved(np.full((1, 4, 4), 700, np.uint16))
    yield saved(np.zeros((1, 3, 4, 4), np.float32))
    file = io.BytesIO()
    np.savez(file, images=grey, labels=np.zeros(2))
    yield file.getvalue()
    file = io.BytesIO()
    np.savez_compressed(file, images=grey)
    yield file.getvalue()


def run(data: bytes) -> None:
    path = put("set.npz" if data.startswith(b"PK") else "set.npy", data)
    with find_source(str(path)).open() as listing:
        del listing.names[_READ:]
        for result in decoded(listing, _INTO):
            assert isinstance(result, str) or result.pixels.shape[:2] == (4, 4)


def saved(array: Any) -> bytes:
    """Return an .npy."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()

"""Vectors of a stranger: the .npy of `--z`, and the .npz of `--directions`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from fuzz.harness import put
from fuzz.targets.arrays import saved
from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError
from gantool.runtime.latents import check_z
from gantool.runtime.outputs.z_file import read_z


def seeds() -> Iterator[bytes]:
    yield saved(np.zeros((2, 4), np.float32))
    yield saved(np.ones((3, 4), np.float64, order="F"))
    yield saved(np.zeros(4, np.int8))
    yield saved(np.zeros((2, 4), "f4,i2"))
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(
            file, names=np.array(["0", "smile"]), vectors=np.eye(2, 4, dtype=np.float32), strengths=np.ones(2)
        )
        yield file.getvalue()


def run(data: bytes) -> None:
    path = put("given", data)
    with suppress(GantoolError):
        z = check_z(read_z(path), 4)
        assert z.shape[1] == 4
    directions = Directions.load(path)
    assert np.isfinite(directions.vectors).all()
    assert directions.shift([(name, 2.0) for name in directions.names], 4).shape == (4,)

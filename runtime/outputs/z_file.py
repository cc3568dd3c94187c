"""Read and write z as one array, float32 [N, latent], a row an image. It may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.items import Item, Items
from gantool.runtime.process.terminal import message_of
from gantool.runtime.spec import Latents

_ROWS = 4096  # that are computed at a time


def read_z(path: Path) -> NDArray[Any]:
    """Return the array in a file, memory-mapped. Raises GantoolError if it is not one; its shape is not checked."""
    if not path.is_file():
        raise GantoolError(f"`z` {path}: there is no such file")
    with path.open("rb") as file:
        if file.read(len(MAGIC_PREFIX)) != MAGIC_PREFIX:
            raise GantoolError(f"`z` {path} is not an .npy file: save one with np.save('z.npy', z)")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # for a damaged file, NumPy can raise any error
        raise GantoolError(f"`z` {path} cannot be read as an array ({message_of(error)})") from error
    return array


def write_z(path: Path, items: Items, z_of: Callable[[list[Item]], Latents], latent: int) -> None:
    """Write the z of items, whole or not at all."""
    with atomic(path) as part, part.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(items), latent)}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in _chunks(items):
            file.write(np.ascontiguousarray(z_of(rows), "<f4").data)


def _chunks(items: Items) -> Iterator[list[Item]]:
    for start in range(0, len(items), _ROWS):
        yield list(items.part(start, _ROWS))

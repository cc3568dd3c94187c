"""Images to files: each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from gantool.runtime.files import atomic
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Images, Spec

Write = Callable[[Images], None]  # takes the next images, uint8 [n, H, W, C], in the order of the seeds


def save_image(path: Path, image: Images) -> None:
    """Write one image, uint8 [H, W, C] with C 1 or 3, in the format of the path's suffix."""
    with atomic(path) as part:
        Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(part)


@contextmanager
def png_writer(folder: Path, seeds: Seeds, spec: Spec) -> Iterator[Write]:  # noqa: ARG001 (one signature for all)
    """Write `seed0004.png` for each image."""
    names = (f"seed{seed:04d}.png" for seed in seeds)

    def write(images: Images) -> None:
        for image, name in zip(images, islice(names, len(images)), strict=True):
            save_image(folder / name, image)

    yield write


@contextmanager
def npy_writer(folder: Path, seeds: Seeds, spec: Spec) -> Iterator[Write]:
    """Write `images.npy`, one uint8 array [N, H, W, C], which need not fit into memory."""
    shape = (len(seeds), spec.height, spec.width, spec.channels)
    with atomic(folder / "images.npy") as part, part.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

        def write(images: Images) -> None:
            file.write(np.ascontiguousarray(images).data)

        yield write


WRITERS = {"png": png_writer, "npy": npy_writer}


def grid(images: Images, columns: int) -> Images:
    """Lay images, uint8 [N, H, W, C], out row by row; return one, uint8 [rows·H, columns·W, C].

    Cells that are left over stay black.
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:count] = images
    cells = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)  # [rows, H, columns, W, C]
    return cells.reshape(rows * height, columns * width, channels)

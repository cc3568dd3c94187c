"""Read images from one array: an .npy, as `gantool generate --format npy` writes it, or an .npz."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import message_of, printable
from gantool.train.data.decode import checked
from gantool.train.data.labels import DATASET_JSON, Labels, labels_of
from gantool.train.data.listing import Listing, read_labels_file

MAX_ARRAY_BYTES = 16 << 30  # of an unpacked .npz, which must fit into memory
_TINY = 64 * 64  # pixels of an image that is not worth a thread


@contextmanager
def open_array(path: Path) -> Iterator[Listing]:
    """Open an array: uint8 [N, H, W, C] with C 1, 3 or 4, or [N, H, W], or grey uint16. Raises GantoolError."""
    try:
        array = (
            _unpacked(path) if zipfile.is_zipfile(path) else np.load(path, mmap_mode="r", allow_pickle=False)
        )
    except GantoolError:
        raise
    except Exception as error:  # for a damaged file, NumPy and zlib can raise any error
        cut = "mmap length" in str(error) or "EOF" in str(error)
        reason = "it is cut off" if cut else message_of(error)
        raise GantoolError(f"{path} cannot be read as an array ({reason}): write it again") from error
    images = array[..., None] if array.ndim == 3 else array  # [N, H, W, C]
    if fix := _conversion(images):
        raise GantoolError(
            f"{path} holds {array.dtype} {list(array.shape)}: expected uint8 [N, H, W, C] with C 1, 3 or 4; in "
            f"Python: x = np.load('{path.name}'), then np.save('images.npy', {fix})"
        )
    deep = images.dtype == np.uint16 and images.shape[3:] == (1,)  # grey of 16 bits
    if (images.dtype != np.uint8 and not deep) or images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise GantoolError(
            f"{path} holds {array.dtype} {list(array.shape)}: expected uint8 [N, H, W, C] with C 1, 3 or 4, or "
            "grey uint16 [N, H, W]"
        )

    def read(index: int) -> Image.Image:
        image = images[index]  # [H, W, C]
        return checked(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image))

    _, height, width, _ = images.shape
    names = [f"image {index}" for index in range(len(images))]

    def labels() -> Labels | None:
        listed = labels_beside(path)
        if not listed.is_file():
            return None
        text = read_labels_file(str(listed), listed.stat().st_size, listed.read_bytes)
        return labels_of(names, text, str(listed))

    yield Listing(names, read, labels=labels, tiny=height * width <= _TINY)


def labels_beside(path: Path) -> Path:
    """Return the path of an array's labels: dataset.json, or dataset-3of16.json of images-3of16.npy."""
    part = re.fullmatch(r"images(-\d+of\d+)", path.stem)
    return path.with_name(f"dataset{part[1]}.json" if part else DATASET_JSON)


def _conversion(images: NDArray[Any]) -> str:
    """Return Python code that converts an array `x` to uint8 [N, H, W, C]; "" if no conversion is known or needed.

    It handles floating-point numbers in 0..1 and channels first.
    """
    if images.ndim != 4 or not images.size:
        return ""
    channels_first = images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4)
    if not channels_first and images.shape[3] not in (1, 3, 4):
        return ""
    transpose = ".transpose(0, 2, 3, 1)" if channels_first else ""
    if images.dtype == np.uint8:
        return f"x{transpose}" if channels_first else ""
    few = images[:100]
    if images.dtype.kind == "f" and few.min() >= 0 and few.max() <= 1:
        return f"(x{transpose} * 255).astype('uint8')"
    return ""


def _unpacked(path: Path) -> NDArray[Any]:
    """Return the array of images in an .npz. Raises ValueError if there is none, GantoolError for several."""
    with zipfile.ZipFile(path) as archive:
        shapes = []
        for member in archive.infolist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(file)
                size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if dtype in (np.uint8, np.uint16) and len(shape) in (3, 4):
                shapes.append((member, size))
        if len(shapes) > 1:
            names = [printable(member.filename.removesuffix(".npy")) for member, _ in shapes]
            raise GantoolError(
                f"{path} holds {len(shapes)} arrays of images ({', '.join(names[:10])}), expected one: save it in "
                f"Python: np.save('{names[0]}.npy', np.load('{path.name}')['{names[0]}']), and give {names[0]}.npy"
            )
        if not shapes:
            held = ", ".join(printable(member.filename) for member in archive.infolist()[:10])
            raise ValueError(
                f"{len(shapes)} of its arrays are uint8 [N, H, W, C] or grey uint16, expected one; it holds {held}"
            )
        member, size = shapes[0]
        if size > MAX_ARRAY_BYTES:
            raise ValueError(f"{size:,} bytes are over the limit of {MAX_ARRAY_BYTES:,}: save it as .npy")
        with archive.open(member) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            return array

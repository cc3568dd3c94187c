"""One array of all images, images.npy. It may be larger than memory; until it is complete it is images.npy.part."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import named
from gantool.runtime.items import Item, Items
from gantool.runtime.outputs.base import Sample, Target, Write
from gantool.runtime.spec import Images, Spec

_PARTS = 8  # parts of an array; the first image of each is a sample


class NpyArray:
    """An Output that writes one array, uint8 or uint16 [N, H, W, C], in the order of the items."""

    def __init__(self, target: Target, items: Items, spec: Spec) -> None:
        self.found = self.written = 0
        self._path = target.folder / f"images{target.part}.npy"
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._items = items
        self._shape = (len(items), spec.height, spec.width, spec.channels)
        self._type = np.dtype(f"<u{spec.bits // 8}")
        self._image_bytes = spec.height * spec.width * spec.channels * self._type.itemsize
        self._header = array_header(self._shape, self._type)

    def existing(self) -> Path | None:
        """Return the array, or the part of an interrupted run."""
        return next((path for path in (self._path, self._part) if path.exists()), None)

    def pending(self) -> Iterator[Item]:
        """Return the items after the existing images; `open` then appends."""
        path, self.found = self._begun()
        if path == self._part and self.found == len(self._items) > 0:  # the run ended just before renaming it
            path.replace(self._path)
        return iter(self._items.part(self.found, len(self._items)))

    def sample(self) -> Iterator[Sample]:
        """Yield a few existing images, evenly spaced, and the last one."""
        path, count = self._begun()
        if not count:
            return
        images = np.memmap(path, self._type, "r", len(self._header), (count, *self._shape[1:]))
        for index in sorted({count * part // _PARTS for part in range(_PARTS)} | {count - 1}):
            yield Sample(f"image {index} of {path}", self._items[index], images[index])

    @contextmanager
    def open(self) -> Iterator[Write]:
        """Write after the images that `pending` found. Raises GantoolError if another run is writing the array."""
        if len(self._items) and self.found == len(self._items):
            yield lambda _, __: None
            return
        with named(self._path), _locked(self._part) as file:
            self._begin(file)
            try:
                yield lambda _, images: self._append(file, images)
                file.flush()
            except BaseException:
                self._count_whole(file)
                if not self.found + self.written:
                    with suppress(OSError):  # Windows cannot remove open files
                        self._part.unlink()
                raise
            if sys.platform != "win32":  # Windows cannot rename open files
                self._part.replace(self._path)  # while it is locked
        if sys.platform == "win32":
            self._part.replace(self._path)

    def _begin(self, file: BinaryIO) -> None:
        """Write the header, and truncate the file after the images that `pending` found."""
        rows = self.found * self._image_bytes
        if rows and os.fstat(file.fileno()).st_size < len(self._header) + rows:
            self._part.unlink()
            raise GantoolError(f"another run has finished {self._part} meanwhile: run this one again")
        file.write(self._header)
        file.seek(rows, os.SEEK_CUR)
        file.truncate()

    def _count_whole(self, file: BinaryIO) -> None:
        """Set `written` to the number of images in the file: on a full disk, buffered images are lost."""
        with suppress(OSError):
            file.flush()
        own_bytes = os.fstat(file.fileno()).st_size - len(self._header) - self.found * self._image_bytes
        self.written = min(self.written, max(own_bytes, 0) // self._image_bytes)

    def _append(self, file: BinaryIO, images: Images) -> None:
        file.write(np.ascontiguousarray(images, self._type).data)
        self.written += len(images)

    def _begun(self) -> tuple[Path, int]:
        """Return the file with existing images, images.npy or its .part, and how many images it has.

        Raises UsageError if there are only arrays with another number or another size of images.
        """
        total, others = len(self._items), []
        for path in (self._part, self._path):
            if not path.exists():
                continue
            with path.open("rb") as file:
                begin = file.read(len(self._header))
            rows = path.stat().st_size - len(self._header)  # bytes
            if not self._header.startswith(begin):
                others.append(path)
            elif path == self._part and self._image_bytes <= rows <= total * self._image_bytes:
                return path, rows // self._image_bytes
            elif path == self._path and rows == total * self._image_bytes:
                return path, total
        if others:
            size = "×".join(map(str, self._shape[1:])) + (" in 16 bits" if self._type.itemsize > 1 else "")
            raise UsageError(
                f"`resume`: {others[0]} is not an array of {total:,} images of {size}: choose another `out`, or "
                "leave `resume` out"
            )
        return self._part, 0


def array_header(shape: tuple[int, ...], kind: Any = np.uint8) -> bytes:
    """Return the header of a .npy file with an array of this shape and type."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
    )
    return header.getvalue()


def _locked(path: Path) -> BinaryIO:
    """Open a file for writing, with a lock against other runs. Create it if it is missing.

    If another run renames the file between opening and locking, open a new one.
    """
    while True:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: PTH123, SIM115
        try:
            _lock(file, path)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:  # it was renamed
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    """Lock a file until it is closed. Do nothing on Windows and on network file systems without locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise GantoolError(f"another run is writing {path}: wait for it, or choose another `out`") from error
    except (ModuleNotFoundError, OSError):
        return

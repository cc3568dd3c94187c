"""One file an image: seed0004.png, .webp, .jpg or .tiff; with a folder for each class if the names say so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock

from gantool.runtime.files import atomic, write_whole
from gantool.runtime.items import Item, Items
from gantool.runtime.outputs.base import Sample, Target, Write
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.process.pool import ordered_map, ordered_pool
from gantool.runtime.spec import Images, Spec


class ImageFiles:
    """An Output that writes each image to its own file."""

    def __init__(self, target: Target, items: Items, spec: Spec) -> None:
        self.found = self.written = 0
        self._counting = Lock()
        self._folder, self._encoding, self._threads = target.folder, target.encoding, target.threads
        self._encode = target.encode
        self._items, self._size = items, (spec.height, spec.width, spec.channels, spec.bits)

    def existing(self) -> Path | None:
        """Return the first file of an item."""
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._folder) as entries:
            if next(entries, None) is not None:  # an empty folder may be asked for millions of files
                paths = (self._path(item) for item in self._items)
                return next((Path(path) for path in paths if os.path.lexists(path)), None)
        return None

    def pending(self) -> Iterator[Item]:
        """Yield the items whose file is missing or damaged."""
        checked = ordered_map(lambda item: (item, self._read(item)), self._items, self._threads)
        for item, image in checked:
            if image is None:
                yield item
            else:
                self.found += 1

    def sample(self) -> Iterator[Sample]:
        """Yield the first existing image."""
        for item in self._items:
            if (image := self._read(item)) is not None:
                name = f"{image_name(item, self._encoding)} in {self._folder}"
                yield Sample(name, item, image, self._encoding)
                return

    @contextmanager
    def open(self) -> Iterator[Write]:
        """Write a file for each image, encoded in threads."""
        with ordered_pool(self._threads, lambda _: None) as submit:

            def write(items: Sequence[Item], images: Images) -> None:
                for piece in pieces(len(images), self._threads):
                    submit(partial(self._save, items[piece], images[piece]))

            yield write

    def _save(self, items: Sequence[Item], images: Images) -> None:
        for item, image in zip(items, images, strict=True):
            folder, name = os.path.split(self._path(item))
            if "/" in item.name:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            write_whole(folder, name, self._encode(item, image))
            with self._counting:  # one by one: a piece may end early, with a full disk for example
                self.written += 1

    def _path(self, item: Item) -> str:  # a Path takes longer
        return os.path.join(self._folder, image_name(item, self._encoding))  # noqa: PTH118

    def _read(self, item: Item) -> Images | None:
        """Return the image of an item, [H, W, C], or None if its file is missing or damaged."""
        return self._encoding.decode(Path(self._path(item)), *self._size)


def image_name(item: Item, encoding: Encoding) -> str:
    """Return `seed0004.png`."""
    return f"{item.name}.{encoding.format}"


def pieces(count: int, threads: int) -> Iterator[slice]:
    """Cut a batch of `count` images into one piece for each thread."""
    step = -(-count // threads)
    return (slice(start, start + step) for start in range(0, count, step))


def save_image(path: Path, image: Images) -> None:
    """Write one image, [H, W, C], as PNG."""
    with atomic(path) as part:
        part.write_bytes(Encoding().encode(image))

"""One file an image: seed0004.png, .webp or .jpg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gantool.runtime.files import atomic, write_whole
from gantool.runtime.outputs.base import Sample, Target, Write
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.process.pool import ordered_map, ordered_pool
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Images, Spec


class ImageFiles:
    """An Output that writes each image to its own file."""

    def __init__(self, target: Target, seeds: Seeds, spec: Spec) -> None:
        self.found = self.written = 0
        self._folder, self._encoding, self._threads = target.folder, target.encoding, target.threads
        self._seeds, self._size = seeds, (spec.height, spec.width, spec.channels)

    def pending(self) -> Iterator[int]:
        """Yield the seeds whose file is missing or damaged."""
        checked = ordered_map(lambda seed: (seed, self._read(seed)), self._seeds, self._threads)
        for seed, image in checked:
            if image is None:
                yield seed
            else:
                self.found += 1

    def sample(self) -> Iterator[Sample]:
        """Yield the first existing image."""
        for seed in self._seeds:
            if (image := self._read(seed)) is not None:
                name = f"{image_name(seed, self._encoding)} in {self._folder}"
                yield Sample(name, seed, image, self._encoding)
                return

    @contextmanager
    def open(self) -> Iterator[Write]:
        """Write a file for each image, encoded in threads."""
        with ordered_pool(self._threads, self._count) as submit:

            def write(seeds: Sequence[int], images: Images) -> None:
                for piece in pieces(len(images), self._threads):
                    submit(partial(self._save, seeds[piece], images[piece]))

            yield write

    def _save(self, seeds: Sequence[int], images: Images) -> int:
        folder = str(self._folder)
        for seed, image in zip(seeds, images, strict=True):
            write_whole(folder, image_name(seed, self._encoding), self._encoding.encode(image))
        return len(images)

    def _count(self, images: int) -> None:
        self.written += images

    def _read(self, seed: int) -> Images | None:
        """Return the image of a seed, uint8 [H, W, C], or None if its file is missing or damaged."""
        return self._encoding.decode(self._folder / image_name(seed, self._encoding), *self._size)


def image_name(seed: int, encoding: Encoding) -> str:
    """Return `seed0004.png`."""
    return f"seed{seed:04d}.{encoding.format}"


def pieces(count: int, threads: int) -> Iterator[slice]:
    """Cut a batch of `count` images into one piece for each thread."""
    step = -(-count // threads)
    return (slice(start, start + step) for start in range(0, count, step))


def save_image(path: Path, image: Images) -> None:
    """Write one image, uint8 [H, W, C], as PNG."""
    with atomic(path) as part:
        part.write_bytes(Encoding().encode(image))

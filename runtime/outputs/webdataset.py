"""The shards of a WebDataset: images-000000.tar and so on; each member of a tar is one encoded image."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gantool.runtime.files import atomic
from gantool.runtime.outputs.base import Sample, Target, Write
from gantool.runtime.outputs.image_files import image_name, pieces
from gantool.runtime.process.pool import ordered_map, ordered_pool
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Images, Spec

Encoded = list[tuple[int, bytes]]  # (seed, encoded image)


@dataclass(frozen=True)
class Shard:
    """One tar and the seeds of its images."""

    path: Path
    seeds: Seeds


class WebDataset:
    """An Output that writes tars of `shard_size` images; the same seeds give the same bytes."""

    def __init__(self, target: Target, seeds: Seeds, spec: Spec) -> None:
        self.found = self.written = 0
        self._folder, self._encoding, self._threads = target.folder, target.encoding, target.threads
        self._size = (spec.height, spec.width, spec.channels)
        self._shards = partial(split, target, seeds)
        self._missing: list[Shard] | None = None  # None: all shards

    def pending(self) -> Iterator[int]:
        """Return the seeds of the shards that are missing, or do not hold exactly the images of their seeds."""
        self._missing = []
        checked = ordered_map(lambda shard: (shard, self._whole(shard)), self._shards(), self._threads)
        for shard, whole in checked:
            if whole:
                self.found += len(shard.seeds)
            else:
                self._missing.append(shard)
        return (seed for shard in self._missing for seed in shard.seeds)

    def sample(self) -> Iterator[Sample]:
        """Yield the first existing image."""
        for shard in self._shards():
            if (image := next(self._images(shard), None)) is not None:
                seed = shard.seeds[0]
                name = f"{image_name(seed, self._encoding)} in {self._folder}"
                yield Sample(name, seed, image, self._encoding)
                return

    @contextmanager
    def open(self) -> Iterator[Write]:
        """Encode images in threads, and pack them in the calling thread."""
        packing = self._pack(self._shards() if self._missing is None else iter(self._missing))
        next(packing, None)

        def add(encoded: Encoded) -> None:
            for member in encoded:
                with suppress(StopIteration):  # raised after the last image
                    packing.send(member)

        with closing(packing), ordered_pool(self._threads, add) as submit:

            def write(seeds: Sequence[int], images: Images) -> None:
                for piece in pieces(len(images), self._threads):
                    submit(partial(self._encode, seeds[piece], images[piece]))

            yield write

    def _encode(self, seeds: Sequence[int], images: Images) -> Encoded:
        return [(seed, self._encoding.encode(image)) for seed, image in zip(seeds, images, strict=True)]

    def _pack(self, shards: Iterator[Shard]) -> Generator[None, tuple[int, bytes], None]:
        """Receive one encoded image at a time; rename each shard to its final name when it is full."""
        import tarfile  # here, so that every command starts faster

        for shard in shards:
            with atomic(shard.path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
                for _ in range(len(shard.seeds)):
                    seed, data = yield
                    member = tarfile.TarInfo(image_name(seed, self._encoding))
                    member.size = len(data)  # without date and owner, so that the bytes are reproducible
                    tar.addfile(member, io.BytesIO(data))
            self.written += len(shard.seeds)

    def _whole(self, shard: Shard) -> bool:
        """Return whether a shard holds exactly the images of its seeds."""
        images = self._images(shard)
        return all(next(images, None) is not None for _ in range(len(shard.seeds))) and not any(
            True for _ in images
        )

    def _images(self, shard: Shard) -> Iterator[Images | None]:
        """Yield the images of a shard, [H, W, C] each, up to the first member that is unexpected or damaged.

        Yield None for that member, then stop.
        """
        import tarfile

        try:
            with tarfile.open(shard.path, "r:") as tar:
                for seed in shard.seeds:
                    member = tar.next()
                    image = None
                    if member is not None and member.name == image_name(seed, self._encoding):
                        file = tar.extractfile(member)
                        data = io.BytesIO(file.read() if file else b"")
                        image = self._encoding.decode(data, *self._size)
                    yield image
                    if image is None:
                        return
                if tar.next() is not None:
                    yield None
        except (OSError, tarfile.TarError, EOFError):
            return


def split(target: Target, seeds: Seeds) -> Iterator[Shard]:
    """Yield the shards that `seeds` fill: `images-000000.tar` and so on."""
    for number, start in enumerate(range(0, len(seeds), target.shard_size)):
        path = target.folder / f"images{target.part}-{number:06d}.tar"
        yield Shard(path, seeds.part(start, target.shard_size))

"""The shards of a WebDataset: images-000000.tar and so on; each sample of a tar is one encoded image.

Beside an image lies seed0004.json with its seed, its class and its mark; beside one of a conditional generator also
its class, seed0004.cls.
"""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gantool.runtime.files import atomic
from gantool.runtime.foreign import parse_json
from gantool.runtime.items import Item, Items
from gantool.runtime.outputs.base import Sample, Target, Write
from gantool.runtime.outputs.image_files import image_name, pieces
from gantool.runtime.process.pool import ordered_map, ordered_pool
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.seeds import Row
from gantool.runtime.spec import Images, Spec

_MARK = "mark"  # a key of the JSON beside an image
Encoded = list[tuple[Item, bytes]]  # (item, encoded image)


@dataclass(frozen=True)
class Shard:
    """One tar and its items."""

    path: Path
    items: Items


class WebDataset:
    """An Output that writes tars of `shard_size` images; the same items give the same bytes, if none signs."""

    def __init__(self, target: Target, items: Items, spec: Spec) -> None:
        self.found = self.written = 0
        self._folder, self._encoding, self._threads = target.folder, target.encoding, target.threads
        self._size = (spec.height, spec.width, spec.channels, spec.bits)
        self._class_names, self._marker, self._file = spec.class_names, target.marker, target.encode
        self._shards = partial(split, target, items)
        self._missing: list[Shard] | None = None  # None: all shards

    def existing(self) -> Path | None:
        """Return the first shard that is there."""
        return next((shard.path for shard in self._shards() if shard.path.exists()), None)

    def pending(self) -> Iterator[Item]:
        """Return the items of the shards that are missing, or do not hold exactly the images of their items."""
        self._missing = []
        checked = ordered_map(lambda shard: (shard, self._whole(shard)), self._shards(), self._threads)
        for shard, whole in checked:
            if whole:
                self.found += len(shard.items)
            else:
                self._missing.append(shard)
        return (item for shard in self._missing for item in shard.items)

    def sample(self) -> Iterator[Sample]:
        """Yield the first existing image."""
        for shard in self._shards():
            if (image := next(self._images(shard), None)) is not None:
                item = shard.items[0]
                name = f"{image_name(item, self._encoding)} in {self._folder}"
                yield Sample(name, item, image, self._encoding)
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

            def write(items: Sequence[Item], images: Images) -> None:
                for piece in pieces(len(images), self._threads):
                    submit(partial(self._encode, items[piece], images[piece]))

            yield write

    def _encode(self, items: Sequence[Item], images: Images) -> Encoded:
        return [(item, self._file(item, image)) for item, image in zip(items, images, strict=True)]

    def _pack(self, shards: Iterator[Shard]) -> Generator[None, tuple[Item, bytes], None]:
        """Receive one encoded image at a time; rename each shard to its final name when it is full."""
        import tarfile  # here, so that every command starts faster

        for shard in shards:
            # without long names, the bytes are those of USTAR
            with atomic(shard.path) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
                for _ in range(len(shard.items)):
                    item, image = yield
                    for suffix, data in (
                        (self._encoding.format, image),
                        *beside(item, self._class_names, self._marker),
                    ):
                        member = tarfile.TarInfo(f"{key(item)}.{suffix}")
                        member.size = len(data)  # without date and owner, so that the bytes are reproducible
                        tar.addfile(member, io.BytesIO(data))
            self.written += len(shard.items)

    def _whole(self, shard: Shard) -> bool:
        """Return whether a shard holds exactly the images of its items."""
        images = self._images(shard)
        return all(next(images, None) is not None for _ in range(len(shard.items))) and not any(
            True for _ in images
        )

    def _images(self, shard: Shard) -> Iterator[Images | None]:
        """Yield the images of a shard, [H, W, C] each, up to the first one that is unexpected or damaged.

        Yield None for that one, then stop. An image without the members that belong beside it is yielded, as an
        earlier gantool may have written it. The next one is then unexpected.
        """
        import tarfile

        def read(name: str) -> bytes | None:
            member = tar.next()
            if member is None or member.name != name:
                return None
            if not member.isreg() or member.issparse():  # a sparse file of one block may promise terabytes
                return None
            file = tar.extractfile(member)
            return file.read() if file else None

        try:
            with tarfile.open(shard.path, "r:") as tar:
                labelled = True
                for item in shard.items:
                    data = read(f"{key(item)}.{self._encoding.format}") if labelled else None
                    image = self._encoding.decode(io.BytesIO(data or b""), *self._size)
                    yield image
                    if image is None:
                        return
                    labels = beside(item, self._class_names, self._marker)
                    labelled = all(
                        _same(read(f"{key(item)}.{suffix}"), expected) for suffix, expected in labels
                    )
                if not labelled or tar.next() is not None:
                    yield None
        except Exception:  # for damaged headers, tarfile can raise any error
            return


def beside(
    item: Item, class_names: Sequence[str], marker: Marker | None = None
) -> tuple[tuple[str, bytes], ...]:
    """Return the members beside the image of an item: their suffixes, and their bytes."""
    if item.label is None and marker is None:
        return ()
    said = about(item, class_names)
    if marker is not None:
        said[_MARK] = marker.beside(item)
    text = ("json", json.dumps(said).encode())
    return (text,) if item.label is None else (("cls", str(item.label).encode()), text)


def about(item: Item, class_names: Sequence[str] = ()) -> dict[str, object]:
    """Return what the JSON beside an image says of its item: its seed, or the number of its z, and its class."""
    if isinstance(item.seed, Row):
        said: dict[str, object] = {"z": item.seed.number}
    else:
        said = {"seed": item.seed if isinstance(item.seed, int) else str(item.seed)}
    if item.label is not None:
        said["class"] = item.label
        if class_names:
            said["class_name"] = class_names[item.label]
    return said


def _same(found: bytes | None, expected: bytes) -> bool:
    """Return whether a member says what is expected. Its mark may name another device that made the same image."""
    if found is None or found == expected:
        return found == expected
    try:
        one, other = (parse_json(text) for text in (found, expected))
        return bool({**one, _MARK: 0} == {**other, _MARK: 0} and (_MARK in one) == (_MARK in other))
    except (ValueError, TypeError):  # no JSON object
        return False


def key(item: Item) -> str:
    """Return the name of a sample, which ends at the first point, as readers of a WebDataset take it."""
    return item.name.replace(".", "_")


def split(target: Target, items: Items) -> Iterator[Shard]:
    """Yield the shards that `items` fill: `images-000000.tar` and so on."""
    for number, start in enumerate(range(0, len(items), target.shard_size)):
        path = target.folder / f"images{target.part}-{number:06d}.tar"
        yield Shard(path, items.part(start, target.shard_size))

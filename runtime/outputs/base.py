"""The protocol of an output format: find the missing images, read existing ones, write a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, get_args

from gantool.runtime.errors import UsageError
from gantool.runtime.items import Item
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding
from gantool.runtime.provenance.c2pa import Sign
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.request import Format
from gantool.runtime.seeds import MAX_SEED
from gantool.runtime.spec import Images

FORMATS: tuple[Format, ...] = get_args(Format)
Write = Callable[[Sequence[Item], Images], None]  # takes the items and images of a batch, [n, H, W, C]


@dataclass(frozen=True)
class Target:
    """Where and how to write images. Raises UsageError for an option that the format does not have."""

    folder: Path
    format: Format = "png"  # "-" is raw frames to stdout
    level: int | None = None
    quality: int | None = None
    threads: int = 1  # for encoding
    shard_size: int = 10_000  # images in a tar
    part: str = ""  # "-3of16" in the names of arrays and tars, if the seeds are one part of several
    marker: Marker | None = None  # makes the marks of the images; None: they have none
    sign: Sign | None = None  # adds a signed manifest to the file of an image

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"`format` {self.format}: choose {', '.join(FORMATS[:-1])} or -")
        if self.format in ("npy", "-") and (self.level is not None or self.quality is not None):
            raise UsageError(f"`format` {self.format} holds plain pixels: leave `level` and `quality` out")
        if not 1 <= self.shard_size <= MAX_SEED:
            raise UsageError(f"`shard_size` {self.shard_size}: give a whole number from 1 to {MAX_SEED}")
        _ = self.encoding  # its constructor checks level and quality

    def encode(self, item: Item, image: Images) -> bytes:
        """Return the image of an item, [H, W, C], as a file: with its mark, and signed if it shall be."""
        packet = None if self.marker is None else self.marker.packet(item)
        return self._signed(self.encoding, image, packet)

    def encode_sheet(self, items: Sequence[Item], image: Images) -> bytes:
        """Return a sheet of items, [H, W, C], as a PNG: with its mark, and signed if it shall be."""
        packet = None
        if self.marker is not None:
            packet = self.marker.of_several(", ".join(str(item.seed) for item in items))
        return self._signed(Encoding(), image, packet)

    def _signed(self, encoding: Encoding, image: Images, packet: bytes | None) -> bytes:
        data = encoding.encode(image, packet)
        return data if self.sign is None else self.sign(data, encoding.format)

    @cached_property
    def encoding(self) -> Encoding:
        """The encoding of one image, as a file or as a member of a tar."""
        return Encoding(
            next((name for name in ENCODINGS if name == self.format), "png"), self.level, self.quality
        )


@dataclass(frozen=True)
class Sample:
    """An image that an earlier run wrote."""

    name: str  # for error messages: "seed0004.png in images"
    item: Item
    image: Images  # [H, W, C]
    encoding: Encoding | None = None  # that it was decoded from; None: pixels as the engine made them


class Output(Protocol):
    """The output of one run, made from its Target, Items and Spec."""

    found: int  # whole images of an earlier run that `pending` skipped
    written: int  # whole images that this run has written

    def existing(self) -> Path | None:
        """Return a file of an earlier run that this one would overwrite; None if there is none."""

    def pending(self) -> Iterator[Item]:
        """Return the items whose images are missing or damaged, in order. Call it before `open`."""

    def sample(self) -> Iterator[Sample]:
        """Yield one or a few existing images, to check that they come from the same command."""

    def open(self) -> AbstractContextManager[Write]:
        """Return a context manager that yields `write(items, images)`, for each batch of `pending` in order.

        If `pending` was not called before, write all items. Threads encode images while the engine runs. When the
        context ends, also by Ctrl-C, all images that were passed to `write` are complete.
        """

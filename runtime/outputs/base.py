"""The protocol of an output format: which images are missing, what is there, how to write a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

from gantool.runtime.errors import UsageError
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding
from gantool.runtime.request import Format
from gantool.runtime.seeds import MAX_SEED
from gantool.runtime.spec import Images

FORMATS: tuple[Format, ...] = get_args(Format)
Write = Callable[[Sequence[int], Images], None]  # the seeds of a batch, and its images, uint8 [n, H, W, C]


@dataclass(frozen=True)
class Target:
    """Where images go, and how. Raises UsageError for an option that the format does not have."""

    folder: Path
    format: Format = "png"  # "-" is raw frames to stdout
    level: int | None = None
    quality: int | None = None
    threads: int = 1  # that encode
    shard_size: int = 10_000  # images in a tar
    part: str = ""  # "-3of16" for one part of the seeds, in the names of files that hold many images

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"`format` {self.format}: choose {', '.join(FORMATS[:-1])} or -")
        if self.format in ("npy", "-") and (self.level is not None or self.quality is not None):
            raise UsageError(f"`format` {self.format} holds plain pixels: leave `level` and `quality` out")
        if not 1 <= self.shard_size <= MAX_SEED:
            raise UsageError(f"`shard_size` {self.shard_size}: give a whole number from 1 to {MAX_SEED}")
        _ = self.encoding  # its constructor checks level and quality

    @property
    def encoding(self) -> Encoding:
        """How one image becomes bytes: as a file, or as a member of a tar."""
        return Encoding(
            next((name for name in ENCODINGS if name == self.format), "png"), self.level, self.quality
        )


@dataclass(frozen=True)
class Sample:
    """An image that an earlier run left."""

    name: str  # for an error: "seed0004.png in images"
    seed: int
    image: Images  # [H, W, C]
    encoding: Encoding | None = None  # that it went through; None: these are the engine's own pixels


class Output(Protocol):
    """The images of some seeds in one format; made for one run from its Target, Seeds and Spec."""

    found: int  # whole images of an earlier run, which `pending` has passed over
    written: int  # images of this run that are on disk, or handed on, whole

    def pending(self) -> Iterator[int]:
        """Return the seeds whose images are missing or damaged, in order. Call it before `open`."""

    def sample(self) -> Iterator[Sample]:
        """Yield one or a few images that are there, to check that they come from the same command."""

    def open(self) -> AbstractContextManager[Write]:
        """Return a context manager that yields `write(seeds, images)`, for each batch of `pending` in order.

        Without a call of `pending` before, it writes all seeds. Images are encoded in threads while the engine goes
        on; what was written is whole when the context ends, also if Ctrl-C ends it.
        """

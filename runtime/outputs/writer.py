"""Images to files, each whole or not at all; encoded in threads while the engine goes on."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic, named, write_whole
from gantool.runtime.outputs.formats import FORMATS, Encoding
from gantool.runtime.outputs.pool import in_order, thread_count
from gantool.runtime.seeds import MAX_SEED, Seeds
from gantool.runtime.spec import Images, Spec

Write = Callable[[Images], None]  # takes the next images, uint8 [n, H, W, C], in the order of the seeds
CONTAINERS = ("npy", "tar", "-")


@dataclass(frozen=True)
class Target:
    """Where images go, and how."""

    folder: Path
    format: str = "png"  # one of FORMATS or CONTAINERS; "-" is raw frames to stdout
    encoding: Encoding = field(default_factory=Encoding)  # of files and of the members of a tar
    threads: int = 1  # that encode
    shard_size: int = 10_000  # images in a tar
    part: str = ""  # "-3of16" for a shard, in the names of what holds many images

    def __post_init__(self) -> None:
        if self.format not in (*FORMATS, *CONTAINERS):
            raise UsageError(f"--format {self.format}: choose {', '.join((*FORMATS, *CONTAINERS[:-1]))} or -")
        if not 1 <= self.shard_size <= MAX_SEED:
            raise UsageError(f"--shard-size {self.shard_size}: give a whole number from 1 to {MAX_SEED}")


def target(
    out: Path,
    file_format: str | None,
    level: int | None,
    quality: int | None,
    threads: int | None,
    shard_size: int,
) -> Target:
    """Return where images go by the flags of the command line, of which None means the default."""
    if str(out) == "-" and file_format in (None, "-"):
        file_format = "-"
    elif str(out) == "-":
        raise UsageError(f"--out - is raw frames to stdout, --format {file_format} is files: choose one")
    name = file_format or "png"
    if name in ("npy", "-") and (level is not None or quality is not None):
        raise UsageError(f"--format {name} holds plain pixels: leave --level and --quality out")
    encoding = Encoding(
        cast("Literal['png', 'webp', 'jpg']", name if name in FORMATS else "png"), level, quality
    )
    return Target(out, name, encoding, thread_count(threads), shard_size)


@dataclass
class Written:
    """How many images are on disk, or were handed on, whole."""

    images: int = 0
    found: int = 0  # besides, from an earlier run


@dataclass(frozen=True)
class Shard:
    """One tar and the seeds of its images."""

    path: Path
    seeds: Seeds


def split(target: Target, seeds: Seeds) -> Iterator[Shard]:
    """Yield the shards that `seeds` fill: `images-000000.tar` and so on."""
    for number, start in enumerate(range(0, len(seeds), target.shard_size)):
        path = target.folder / f"images{target.part}-{number:06d}.tar"
        yield Shard(path, seeds.part(start, target.shard_size))


def writer(
    target: Target, todo: Iterator[int] | Iterator[Shard], total: int, spec: Spec, written: Written
) -> AbstractContextManager[Write]:
    """Return a context manager that yields `write(images)`.

    `todo` tells whose images come: seeds, or for tar the shards; `total` is how many images these are. What was
    written is whole when the context ends, also if Ctrl-C ends it.
    """
    if target.format == "npy":
        return _npy(target, total, spec, written)
    if target.format == "-":
        return _raw(written)
    if target.format == "tar":
        return _tar(target, cast("Iterator[Shard]", todo), written)
    return _files(target, cast("Iterator[int]", todo), written)


def image_name(seed: int, encoding: Encoding) -> str:
    """Return `seed0004.png`."""
    return f"seed{seed:04d}.{encoding.format}"


def save_image(path: Path, image: Images) -> None:
    """Write one image, uint8 [H, W, C] with C 1 or 3, as PNG."""
    with atomic(path) as part:
        part.write_bytes(Encoding().encode(image))


@contextmanager
def _files(target: Target, seeds: Iterator[int], written: Written) -> Iterator[Write]:
    """Write `seed0004.png` for each image."""
    encoding = target.encoding

    folder = str(target.folder)

    def save(images: Images, names: list[str]) -> int:
        for image, name in zip(images, names, strict=True):
            write_whole(folder, name, encoding.encode(image))
        return len(images)

    def add(images: int) -> None:
        written.images += images

    with in_order(target.threads, add) as put:

        def write(images: Images) -> None:
            for piece in _pieces(images, target.threads):
                names = [image_name(seed, encoding) for seed in islice(seeds, len(piece))]
                put(lambda piece=piece, names=names: save(piece, names))  # type: ignore[misc]

        yield write


def _pieces(images: Images, threads: int) -> Iterator[Images]:
    """Cut a batch into one piece for each thread."""
    step = -(-len(images) // threads)
    return (images[start : start + step] for start in range(0, len(images), step))


@contextmanager
def _npy(target: Target, total: int, spec: Spec, written: Written) -> Iterator[Write]:
    """Write `images.npy`, one uint8 array [N, H, W, C], which need not fit into memory.

    Until it is whole it is `images.npy.part`, which goes on behind what `written` has found there. Raises
    GantoolError if another run writes it.
    """
    if total and written.found == total:
        yield lambda _: None
        return
    path = array_path(target)
    part = part_of(path)
    with named(path), _locked(part) as file:
        header, found = array_header(total, spec), written.found * spec.height * spec.width * spec.channels
        if found and os.fstat(file.fileno()).st_size < len(header) + found:
            part.unlink()
            raise GantoolError(f"another run has finished {part} meanwhile: run this one again")
        file.write(header)
        file.seek(found, os.SEEK_CUR)
        file.truncate()

        def write(images: Images) -> None:
            file.write(np.ascontiguousarray(images).data)
            written.images += len(images)

        try:
            yield write
            file.flush()
        except BaseException:
            with suppress(OSError):  # of a full disk: what is in memory alone does not count
                file.flush()
            there = os.fstat(file.fileno()).st_size - len(header) - found
            written.images = min(written.images, max(there, 0) // (spec.height * spec.width * spec.channels))
            if not written.found + written.images:
                with suppress(OSError):  # Windows removes no open file
                    part.unlink()
            raise
        if sys.platform != "win32":  # which renames no open file
            part.replace(path)  # while it is locked
    if sys.platform == "win32":
        part.replace(path)


def _locked(path: Path) -> BinaryIO:
    """Open a file to write in it, made where it is missing, which no other run writes.

    Another run may give the file its final name between opening and locking: then it is not this one any more.
    """
    while True:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: PTH123, SIM115
        try:
            _lock(file, path)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:  # it has its final name
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep others from writing a file until it is closed, if the system can: Windows and some networks cannot."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise GantoolError(f"another run writes {path}: wait for it, or choose another --out") from error
    except (ModuleNotFoundError, OSError):
        return


def array_path(target: Target) -> Path:
    """Return where `--format npy` writes."""
    return target.folder / f"images{target.part}.npy"


def part_of(path: Path) -> Path:
    """Return where an array lies until it is whole."""
    return path.with_name(f"{path.name}.part")


def array_header(total: int, spec: Spec) -> bytes:
    """Return the bytes before the first image of an array of so many."""
    header, shape = io.BytesIO(), (total, spec.height, spec.width, spec.channels)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


@contextmanager
def _raw(written: Written) -> Iterator[Write]:
    """Write the pixels of one image after the other to stdout."""
    stdout = sys.stdout.buffer

    def write(images: Images) -> None:
        try:
            stdout.write(np.ascontiguousarray(images).data)
            stdout.flush()
        except BrokenPipeError as error:
            raise GantoolError(
                f"the program that reads the frames ended after {written.images:,} or a few more"
            ) from error
        written.images += len(images)

    yield write


@contextmanager
def _tar(target: Target, shards: Iterator[Shard], written: Written) -> Iterator[Write]:
    """Write `images-000000.tar` and so on, the shards of a WebDataset."""
    packing = _pack(shards, target.encoding, written)
    next(packing, None)

    def encode(images: Images) -> list[bytes]:
        return [target.encoding.encode(image) for image in images]

    def add(encoded: list[bytes]) -> None:
        for data in encoded:
            with suppress(StopIteration):  # after the last image
                packing.send(data)

    with closing(packing), in_order(target.threads, add) as put:

        def write(images: Images) -> None:
            for piece in _pieces(images, target.threads):
                put(lambda piece=piece: encode(piece))  # type: ignore[misc]

        yield write


def _pack(shards: Iterator[Shard], encoding: Encoding, written: Written) -> Generator[None, bytes, None]:
    """Take one encoded image at a time; each shard gets its name when it is full."""
    import tarfile  # not at the start of every command

    for shard in shards:
        with atomic(shard.path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for seed in shard.seeds:
                data = yield
                member = tarfile.TarInfo(
                    image_name(seed, encoding)
                )  # no date, no owner: the same bytes again
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        written.images += len(shard.seeds)


def grid(images: Images, columns: int) -> Images:
    """Lay images, uint8 [N, H, W, C], out row by row; return one, uint8 [rows·H, columns·W, C].

    Cells that are left over stay black.
    """
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    cells = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)  # [rows, H, columns, W, C]
    return cells.reshape(rows * height, columns * width, channels)

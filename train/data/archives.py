"""Read images from a zip, or from the tars of a WebDataset, without extracting files."""

from __future__ import annotations

import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import message_of, printable
from gantool.train.data.archive_labels import (
    Content,
    Member,
    check_views,
    count_unlabelled,
    dataset_json,
    labels_beside,
    labels_in,
)
from gantool.train.data.decode import open_image
from gantool.train.data.labels import Labels, labels_of, outside
from gantool.train.data.listing import (
    Listing,
    candidate,
    check_size,
    hidden,
    kind,
    nameless,
)
from gantool.train.data.sniff import looks_like_image


@contextmanager
def open_zip(path: Path) -> Iterator[Listing]:
    """Open a zip. Raises GantoolError if it cannot be read."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise GantoolError(f"{path} cannot be read as a zip file ({error}): pack it again") from error
    with archive:
        lock = threading.Lock()  # ZipFile's count of readers is not thread-safe

        def content(member: Member, limit: int) -> bytes:
            if member.place.flag_bits & 1:
                raise ValueError("it is encrypted")
            with lock, archive.open(member.place) as file:
                # at most the declared size; a member with more bytes fails its checksum
                data: bytes = file.read(limit)
            return data

        found = [
            # some programs write names with backslashes
            Member(_plain(info.filename.replace("\\", "/")), info.file_size, info)
            for info in archive.infolist()
            if not info.filename.endswith(("/", "\\"))
        ]
        members = _images(found, content)
        names = [member.full for member in members]

        def labels() -> Labels | None:
            return labels_in(path, names, found, content, lambda: labels_of(names))

        used = {dataset_json(names, found)}
        yield Listing(names, _reader("zip", members, content), _kinds(found, {*names, *used}), labels)


@contextmanager
def open_tars(folder: Path, tars: list[str], others: Counter[str] | None = None) -> Iterator[Listing]:
    """Open the shards of a WebDataset, with the names `tars` in `folder`. `others`: further files in the folder.

    The class of an image is in the .cls of the same sample, in the "label" of its .json, or else its folder. Raises
    GantoolError for a tar that is damaged or truncated.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(folder / name)) for name in tars]
        locks = [threading.Lock() for _ in files]
        several = len(tars) > 1
        found = [
            member
            for number, name in enumerate(tars)
            for member in _members(folder / name, files[number], number, f"{name}/" if several else "")
        ]

        def content(member: Member, limit: int) -> bytes:
            number, offset, sparse = member.place
            if sparse:
                raise ValueError("it is stored as a sparse file: pack it again without")
            file: BinaryIO = files[number]
            with locks[number]:
                file.seek(offset)
                return file.read(min(limit, member.size))

        members = _images(found, content)
        names = [member.full for member in members]
        # the folder of a tar counts as a folder of its images
        places = [(Path(tars[member.place[0]]).parent / member.name).as_posix() for member in members]
        archive = folder if several else folder / tars[0]

        def beside() -> Labels | None:
            check_views(archive, names)
            return labels_beside(archive, names, found, content, several) or labels_of(places)

        def labels() -> Labels | None:
            return beside() if several else labels_in(archive, names, found, content, beside)

        used = {member.full for member in found if member.full.endswith((".cls", ".json"))}
        kinds = _kinds(found, {*names, *used}) + (others or Counter()) + count_unlabelled(found, content)
        yield Listing(names, _reader("tar", members, content), kinds, labels)


def _images(found: Iterable[Member], content: Content) -> list[Member]:
    """Return the members that are images by their name or their first bytes, sorted by name."""

    def chosen(member: Member) -> bool:
        if candidate(member.name):
            return True
        parts = member.name.split("/")
        if any(map(hidden, parts)) or outside(member.name) or not nameless(parts[-1]):
            return False
        try:
            return looks_like_image(content(member, 12))
        except Exception:  # a damaged member can raise any error
            return False

    return sorted(filter(chosen, found), key=lambda member: member.full)


def _reader(archive: str, members: list[Member], content: Content) -> Callable[[int], Image.Image]:
    """Return a function that opens an image by its index. `archive`: "zip" or "tar", for messages."""

    def read(index: int) -> Image.Image:
        member = members[index]
        if outside(member.name):
            raise ValueError(f"its name points outside of the {archive}")
        check_size(member.size)
        return open_image(content(member, member.size))

    return read


def _kinds(found: Iterable[Member], used: set[str | None]) -> Counter[str]:
    """Count the members that are not used, by kind."""
    names = {member.full for member in found} - used
    return Counter(kind(name) for name in names if not hidden(name.rpartition("/")[2]))


def _plain(name: str) -> str:
    """Return the name of a member without the "./" that `tar c .` writes."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise GantoolError(f"{path} cannot be read ({error.strerror}): check the path") from error


def _members(path: Path, file: BinaryIO, number: int, prefix: str) -> Iterator[Member]:
    """Yield the regular files in a tar. Raises GantoolError for a damaged one."""
    length = path.stat().st_size
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                if member.size < 0 or tar.offset <= member.offset:  # tarfile would loop forever
                    raise GantoolError(f"{path} is damaged after byte {member.offset:,}; copy it again")
                tar.members = []  # type: ignore[attr-defined]  # otherwise it keeps millions of them in memory
                if member.offset_data + (0 if member.issparse() else member.size) > length:
                    raise GantoolError(f"{path} is cut off in {printable(member.name)}: copy it again")
                if member.isreg() or member.issparse():
                    place = number, member.offset_data, member.issparse()
                    yield Member(_plain(member.name), member.size, place, prefix)
            file.seek(tar.offset)
            end = file.read(tarfile.BLOCKSIZE)
    except GantoolError:
        raise
    except Exception as error:  # for damaged headers, tarfile can raise any error
        raise GantoolError(f"{path} cannot be read as a tar ({message_of(error)}): pack it again") from error
    if any(end) or not end:  # tarfile takes a damaged header for the end
        found = f"is damaged after byte {tar.offset:,}" if end else "is cut off: its end is missing"
        raise GantoolError(f"{path} {found}; copy it again")

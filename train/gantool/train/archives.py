"""Images in a zip, or in the tars of a WebDataset, read where they lie: nothing is extracted."""

from __future__ import annotations

import json
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.terminal import printable
from gantool.train.decode import looks_like_image, open_image
from gantool.train.labels import DATASET_JSON, Labels, labels_of, labels_of_values, outside
from gantool.train.listing import (
    Listing,
    candidate,
    check_size,
    hidden,
    kind,
    nameless,
    read_labels_file,
)

_MAX_LABEL_BYTES = 1 << 20  # of a .cls or .json beside one image


@contextmanager
def open_zip(path: Path) -> Iterator[Listing]:
    """Open a zip. Raises GantoolError for one that cannot be read."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise GantoolError(f"{path} cannot be read as a zip file ({error}): pack it again") from error
    with archive:
        turn = threading.Lock()  # a ZipFile counts its readers without one

        def content(member: zipfile.ZipInfo, limit: int) -> bytes:
            if member.flag_bits & 1:
                raise ValueError("it is encrypted")
            with turn, archive.open(member) as file:
                # never more than was declared; a member that holds more then fails its checksum
                return file.read(limit)

        def chosen(member: zipfile.ZipInfo) -> bool:
            if candidate(member.filename):
                return True
            parts = member.filename.split("/")
            if any(map(hidden, parts)) or outside(member.filename) or not nameless(parts[-1]):
                return False
            try:
                return looks_like_image(content(member, 12))
            except Exception:  # a damaged member can bring any error
                return False

        files = [member for member in archive.infolist() if not member.is_dir()]
        members = sorted(filter(chosen, files), key=lambda member: member.filename)
        names = [member.filename for member in members]
        listed = _dataset_json([member.filename for member in files], names)
        others = {member.filename for member in files} - {*names, listed}

        def read(index: int) -> Image.Image:
            member = members[index]
            if outside(member.filename):
                raise ValueError("its name points outside of the zip")
            check_size(member.file_size)
            return open_image(content(member, member.file_size))

        def labels() -> Labels | None:
            if listed is None:
                return labels_of(names)
            where, member = f"{path}: {listed}", archive.getinfo(listed)
            text = read_labels_file(where, member.file_size, lambda: content(member, member.file_size))
            return labels_of([name[len(listed) - len(DATASET_JSON) :] for name in names], text, where)

        yield Listing(names, read, _kinds(others), labels)


def _dataset_json(files: list[str], names: list[str]) -> str | None:
    """Return the dataset.json that speaks of all images: at the top, or in the one folder that holds all."""
    tops = {name.partition("/")[0] for name in names if not outside(name)}
    places = [DATASET_JSON, *(f"{top}/{DATASET_JSON}" for top in tops if len(tops) == 1)]
    there = set(files)
    return next((place for place in places if place in there), None)


def _kinds(names: set[str]) -> Counter[str]:
    return Counter(kind(name) for name in names if not hidden(name.rpartition("/")[2]))


@dataclass(frozen=True)
class _Member:
    """A file in a tar, and where its bytes are."""

    tar: int  # which
    name: str
    offset: int
    size: int
    sparse: bool  # its bytes are not all there


@contextmanager
def open_tars(folder: Path, tars: list[str]) -> Iterator[Listing]:
    """Open the shards of a WebDataset, called `tars` below `folder`.

    The class of an image is in the .cls beside it, or in the "label" of a .json, else its folder. Raises
    GantoolError for a tar that is damaged or not whole.
    """
    with ExitStack() as stack:
        opened = [(folder / name, stack.enter_context(_opened(folder / name))) for name in tars]
        turns = [threading.Lock() for _ in opened]
        found = [
            member for number, (path, file) in enumerate(opened) for member in _members(path, file, number)
        ]

        def content(member: _Member, limit: int) -> bytes:
            if member.sparse:
                raise ValueError("it is stored as a sparse file: pack it again without")
            file = opened[member.tar][1]
            with turns[member.tar]:
                file.seek(member.offset)
                return file.read(min(limit, member.size))

        def chosen(member: _Member) -> bool:
            base = member.name.rpartition("/")[2]
            sniffed = nameless(base) and not any(map(hidden, member.name.split("/")))
            return candidate(member.name) or (sniffed and looks_like_image(content(member, 12)))

        def full(member: _Member) -> str:
            return member.name if len(tars) == 1 else f"{tars[member.tar]}/{member.name}"

        members = sorted(filter(chosen, found), key=full)
        beside = {full(each): each for each in found}
        names = list(map(full, members))

        def read(index: int) -> Image.Image:
            member = members[index]
            if outside(member.name):
                raise ValueError("its name points outside of the tar")
            check_size(member.size)
            return open_image(content(member, member.size))

        def text_beside(name: str, suffix: str) -> tuple[str, bytes] | None:
            base = name.rpartition("/")[2]
            other = f"{name[: len(name) - len(base)]}{base.partition('.')[0]}{suffix}"
            if other not in beside:
                return None
            where = f"{folder / other if len(tars) > 1 else f'{opened[0][0]}: {other}'}"
            if beside[other].size > _MAX_LABEL_BYTES:
                raise GantoolError(
                    f"{where} has {beside[other].size:,} bytes, too many for a label: leave it out"
                )
            return where, content(beside[other], _MAX_LABEL_BYTES)

        def labels() -> Labels | None:
            if len(tars) == 1 and DATASET_JSON in beside:
                member, where = beside[DATASET_JSON], f"{opened[0][0]}: {DATASET_JSON}"
                text = read_labels_file(where, member.size, lambda: content(member, member.size))
                return labels_of(names, text, where)
            values = [_label(name, text_beside) for name in names]
            if all(value is None for value in values):
                places = [Path(tars[member.tar]).parent / member.name for member in members]
                return labels_of([place.as_posix() for place in places])
            return labels_of_values(names, values, str(folder if len(tars) > 1 else opened[0][0]))

        used = {name for name in beside if name.endswith((".cls", ".json"))}
        yield Listing(names, read, _kinds(set(beside) - set(names) - used), labels)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise GantoolError(f"{path} cannot be read ({error.strerror}): check the path") from error


def _members(path: Path, file: BinaryIO, number: int) -> Iterator[_Member]:
    """Yield the files of a tar; links, folders and devices are left out."""
    length = path.stat().st_size
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                if member.size < 0 or tar.offset <= member.offset:  # tarfile would go round in circles
                    raise GantoolError(f"{path} is damaged after byte {member.offset:,}; copy it again")
                tar.members = []  # type: ignore[attr-defined]  # kept there, else, for each of millions
                if member.offset_data + (0 if member.issparse() else member.size) > length:
                    raise GantoolError(f"{path} is cut off in {printable(member.name)}: copy it again")
                if member.isreg() or member.issparse():
                    name = member.name.removeprefix("./")  # as `tar c .` writes them
                    yield _Member(number, name, member.offset_data, member.size, member.issparse())
            file.seek(tar.offset)
            end = file.read(tarfile.BLOCKSIZE)
    except GantoolError:
        raise
    except Exception as error:  # damaged headers can bring any error out of tarfile
        raise GantoolError(
            f"{path} cannot be read as a tar ({printable(str(error))[:200]}): pack it again"
        ) from error
    if any(end) or not end:  # tarfile takes what it does not understand for the end
        found = f"is damaged after byte {tar.offset:,}" if end else "is cut off: its end is missing"
        raise GantoolError(f"{path} {found}; copy it again")


def _label(name: str, beside: Callable[[str, str], tuple[str, bytes] | None]) -> int | str | None:
    """Return the class of an image, a number or a name, from the file beside it."""
    if found := beside(name, ".cls"):
        where, data = found
        text = data.decode("utf-8", "replace").strip()
        if not text:
            raise GantoolError(f"{where} is empty: expected a class")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else text
    if found := beside(name, ".json"):
        where, data = found
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise GantoolError(f"{where} is damaged ({printable(str(error))[:200]}): mend it") from error
        label = value.get("label") if isinstance(value, dict) else None
        if label is not None and type(label) not in (int, str):
            raise GantoolError(f'{where}: its "label" is neither a number nor a name: mend it')
        return label
    return None

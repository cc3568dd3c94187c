"""Images in a zip, or in the tars of a WebDataset, read where they lie: nothing is extracted."""

from __future__ import annotations

import json
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import printable
from gantool.train.data.decode import open_image
from gantool.train.data.labels import DATASET_JSON, Labels, as_class, labels_of, labels_of_values, outside
from gantool.train.data.listing import (
    Listing,
    candidate,
    check_size,
    hidden,
    kind,
    nameless,
    read_labels_file,
)
from gantool.train.data.sniff import looks_like_image
from gantool.train.data.splits import PICTURES, TARGETS

_MAX_LABEL_BYTES = 1 << 20  # of a .cls or .json beside one image


@dataclass(frozen=True)
class _Member:
    """A file in an archive."""

    name: str  # in the archive, with /
    size: int  # bytes, unpacked
    place: Any  # where its bytes are
    prefix: str = ""  # which archive, where there are several: "shard-0.tar/"

    @property
    def full(self) -> str:
        """Its name among all."""
        return self.prefix + self.name


_Content = Callable[[_Member, int], bytes]  # the first bytes of a member


@contextmanager
def open_zip(path: Path) -> Iterator[Listing]:
    """Open a zip. Raises GantoolError for one that cannot be read."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise GantoolError(f"{path} cannot be read as a zip file ({error}): pack it again") from error
    with archive:
        turn = threading.Lock()  # a ZipFile counts its readers without one

        def content(member: _Member, limit: int) -> bytes:
            if member.place.flag_bits & 1:
                raise ValueError("it is encrypted")
            with turn, archive.open(member.place) as file:
                # never more than was declared; a member that holds more then fails its checksum
                data: bytes = file.read(limit)
            return data

        found = [
            # some programs write names as Windows has them
            _Member(_plain(info.filename.replace("\\", "/")), info.file_size, info)
            for info in archive.infolist()
            if not info.filename.endswith(("/", "\\"))
        ]
        members = _images(found, content)
        names = [member.full for member in members]

        def labels() -> Labels | None:
            return _labels(path, names, found, content, lambda: labels_of(names))

        used = {_dataset_json(names, found)}
        yield Listing(names, _reader("zip", members, content), _kinds(found, {*names, *used}), labels)


@contextmanager
def open_tars(folder: Path, tars: list[str], others: Counter[str] | None = None) -> Iterator[Listing]:
    """Open the shards of a WebDataset, called `tars` below `folder`; `others` are files beside these.

    The class of an image is in the .cls beside it, or in the "label" of a .json, else its folder. Raises
    GantoolError for a tar that is damaged or not whole.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(folder / name)) for name in tars]
        turns = [threading.Lock() for _ in files]
        several = len(tars) > 1
        found = [
            member
            for number, name in enumerate(tars)
            for member in _members(folder / name, files[number], number, f"{name}/" if several else "")
        ]

        def content(member: _Member, limit: int) -> bytes:
            number, offset, sparse = member.place
            if sparse:
                raise ValueError("it is stored as a sparse file: pack it again without")
            file: BinaryIO = files[number]
            with turns[number]:
                file.seek(offset)
                return file.read(min(limit, member.size))

        members = _images(found, content)
        names = [member.full for member in members]
        # where a tar lies counts as a folder of its images
        places = [(Path(tars[member.place[0]]).parent / member.name).as_posix() for member in members]
        archive = folder if several else folder / tars[0]

        def beside() -> Labels | None:
            _check_views(archive, names)
            return _labels_beside(archive, names, found, content, several) or labels_of(places)

        def labels() -> Labels | None:
            return beside() if several else _labels(archive, names, found, content, beside)

        used = {member.full for member in found if member.full.endswith((".cls", ".json"))}
        kinds = _kinds(found, {*names, *used}) + (others or Counter()) + _without_label(found, content)
        yield Listing(names, _reader("tar", members, content), kinds, labels)


def _images(found: Iterable[_Member], content: _Content) -> list[_Member]:
    """Return the members that are images, by their name or by how they begin, in the order of their names."""

    def chosen(member: _Member) -> bool:
        if candidate(member.name):
            return True
        parts = member.name.split("/")
        if any(map(hidden, parts)) or outside(member.name) or not nameless(parts[-1]):
            return False
        try:
            return looks_like_image(content(member, 12))
        except Exception:  # a damaged member can bring any error
            return False

    return sorted(filter(chosen, found), key=lambda member: member.full)


def _reader(archive: str, members: list[_Member], content: _Content) -> Callable[[int], Image.Image]:
    """Return what opens an image by its index; `archive` is a word for the kind."""

    def read(index: int) -> Image.Image:
        member = members[index]
        if outside(member.name):
            raise ValueError(f"its name points outside of the {archive}")
        check_size(member.size)
        return open_image(content(member, member.size))

    return read


def _kinds(found: Iterable[_Member], used: set[str | None]) -> Counter[str]:
    """Count the members that are not used."""
    names = {member.full for member in found} - used
    return Counter(kind(name) for name in names if not hidden(name.rpartition("/")[2]))


def _plain(name: str) -> str:
    """Return the name of a member without the "./" that `tar c .` writes."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _labels(
    archive: Path,
    names: list[str],
    found: list[_Member],
    content: _Content,
    otherwise: Callable[[], Labels | None],
) -> Labels | None:
    """Return the labels of the images called `names` by the dataset.json in an archive, if it has one."""
    listed = _dataset_json(names, found)
    if listed is None:
        return otherwise()
    member, where = next(each for each in found if each.name == listed), f"{archive}: {listed}"
    text = read_labels_file(where, member.size, lambda: content(member, member.size))
    return labels_of([name[len(listed) - len(DATASET_JSON) :] for name in names], text, where)


def _dataset_json(names: list[str], found: list[_Member]) -> str | None:
    """Return the dataset.json that speaks of all images: at the top, or in the one folder that holds all."""
    tops = {name.partition("/")[0] for name in names if not outside(name)}
    places = [DATASET_JSON, *(f"{top}/{DATASET_JSON}" for top in tops if len(tops) == 1)]
    there = {member.name for member in found}
    return next((place for place in places if place in there), None)


def _labels_beside(
    archive: Path, names: list[str], found: list[_Member], content: _Content, several: bool
) -> Labels | None:
    """Return the labels in the .cls, or else the .json, beside each image; None where there are none."""
    members = {member.full: member for member in found}

    def text(name: str, suffix: str) -> tuple[str, bytes] | None:
        head, slash, base = name.rpartition("/")
        member = members.get(f"{head}{slash}{base.partition('.')[0]}{suffix}")
        if member is None:
            return None
        where = str(archive / member.full) if several else f"{archive}: {member.full}"
        if member.size > _MAX_LABEL_BYTES:
            raise GantoolError(f"{where} has {member.size:,} bytes, too many for a label: leave it out")
        return where, content(member, _MAX_LABEL_BYTES)

    values = [_label(name, text) for name in names]
    return None if all(value is None for value in values) else labels_of_values(names, values, str(archive))


def _label(name: str, beside: Callable[[str, str], tuple[str, bytes] | None]) -> int | str | None:
    """Return the class of an image, a number or a name, from the file beside it."""
    if found := beside(name, ".cls"):
        where, data = found
        text = data.decode("utf-8-sig", "replace").strip()
        if not text:
            raise GantoolError(f"{where} is empty: expected a class")
        try:
            return as_class(text)
        except ValueError as error:
            raise GantoolError(f"{where}: {printable(str(error))}: mend it") from error
    if found := beside(name, ".json"):
        where, data = found
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise GantoolError(f"{where} is damaged ({printable(str(error))[:200]}): mend it") from error
        try:
            return as_class(value.get("label") if isinstance(value, dict) else None)
        except ValueError as error:
            raise GantoolError(
                f'{where}: its "label" is not one: {printable(str(error))}: mend it'
            ) from error
    return None


def _without_label(found: list[_Member], content: _Content) -> Counter[str]:
    """Count the .json files of a tar where the first of them is an object that says nothing of a class."""
    beside = [member for member in found if member.name.endswith(".json")]
    if not beside or len(beside) == 1 or any(member.name.endswith(".cls") for member in found):
        return Counter()
    try:
        value = json.loads(content(beside[0], _MAX_LABEL_BYTES))
    except Exception:  # it is named where labels are read
        return Counter()
    if not isinstance(value, dict) or {"label", "labels"} & value.keys():
        return Counter()
    return Counter({'.json files without "label"': len(beside)})


def _check_views(archive: Path, names: list[str]) -> None:
    """Raise GantoolError where each sample of a WebDataset is a picture and what belongs to it."""
    views = sorted({name.rpartition("/")[2].partition(".")[2].rpartition(".")[0] for name in names})
    targets = [view for view in views if TARGETS.fullmatch(view)]
    pictures = [view for view in views if PICTURES.fullmatch(view)]
    if pictures and targets and len(pictures) + len(targets) == len(views):
        raise GantoolError(
            f"{archive}: {printable(', '.join([*pictures, *targets]))}: pictures and what belongs to each, not "
            f"classes: pack a tar of the .{printable(pictures[0])} files alone"
        )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise GantoolError(f"{path} cannot be read ({error.strerror}): check the path") from error


def _members(path: Path, file: BinaryIO, number: int, prefix: str) -> Iterator[_Member]:
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
                    place = number, member.offset_data, member.issparse()
                    yield _Member(_plain(member.name), member.size, place, prefix)
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

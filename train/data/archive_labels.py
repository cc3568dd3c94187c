"""Labels of the images in a zip or in the tars of a WebDataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.foreign import parse_json
from gantool.runtime.process.terminal import message_of, printable
from gantool.train.data.labels import DATASET_JSON, Labels, as_class, labels_of, labels_of_values, outside
from gantool.train.data.listing import read_labels_file
from gantool.train.data.splits import PICTURES, TARGETS

_MAX_LABEL_BYTES = 1 << 20  # of the .cls or .json of an image


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str  # in the archive, with /
    size: int  # bytes, unpacked
    place: Any  # its ZipInfo; in a tar (number of the tar, offset, whether it is sparse)
    prefix: str = ""  # "shard-0.tar/" if there are several archives

    @property
    def full(self) -> str:
        """The name, unique among all archives."""
        return self.prefix + self.name


Content = Callable[[Member, int], bytes]  # (member, number of bytes) -> its first bytes


def labels_in(
    archive: Path,
    names: list[str],
    found: list[Member],
    content: Content,
    otherwise: Callable[[], Labels | None],
) -> Labels | None:
    """Return the labels of the images `names` from the dataset.json in an archive, else those of `otherwise`."""
    listed = dataset_json(names, found)
    if listed is None:
        return otherwise()
    member, where = next(each for each in found if each.name == listed), f"{archive}: {listed}"
    text = read_labels_file(where, member.size, lambda: content(member, member.size))
    return labels_of([name[len(listed) - len(DATASET_JSON) :] for name in names], text, where)


def dataset_json(names: list[str], found: list[Member]) -> str | None:
    """Return the name of the dataset.json for all images: at the top, or in the one folder that has all images."""
    tops = {name.partition("/")[0] for name in names if not outside(name)}
    places = [DATASET_JSON, *(f"{top}/{DATASET_JSON}" for top in tops if len(tops) == 1)]
    existing = {member.name for member in found}
    return next((place for place in places if place in existing), None)


def labels_beside(
    archive: Path, names: list[str], found: list[Member], content: Content, several: bool
) -> Labels | None:
    """Return the labels in the .cls, or else the .json, of each image; None if there are none."""
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
    if all(value is None for value in values):
        return None
    labels = labels_of_values(names, values, str(archive))
    firsts = dict(zip(reversed(values), reversed(names), strict=True))  # class -> its first image
    named = {value: called for value, name in firsts.items() if (called := _class_name(text(name, ".json")))}
    if not named or not all(isinstance(value, int) for value in firsts):
        return labels
    return replace(labels, classes=tuple(named.get(n, name) for n, name in enumerate(labels.classes)))


def _class_name(found: tuple[str, bytes] | None) -> str:
    """Return the name of a class in the .json of one of its images, as gantool generate writes it; "" for none."""
    try:
        value = parse_json(found[1]) if found else None
    except ValueError:
        return ""
    name = value.get("class_name") if isinstance(value, dict) else None
    return printable(name)[:100] if isinstance(name, str) else ""


def count_unlabelled(found: list[Member], content: Content) -> Counter[str]:
    """Count the .json files of a tar if the first of them is an object without a label."""
    jsons = [member for member in found if member.name.endswith(".json")]
    if not jsons or len(jsons) == 1 or any(member.name.endswith(".cls") for member in found):
        return Counter()
    try:
        value = parse_json(content(jsons[0], _MAX_LABEL_BYTES))
    except Exception:  # reading the labels reports it
        return Counter()
    # "mark": of gantool generate, whose generators without classes have no label to give
    if not isinstance(value, dict) or {"label", "labels", "mark"} & value.keys():
        return Counter()
    return Counter({'.json files without "label"': len(jsons)})


def check_views(archive: Path, names: list[str]) -> None:
    """Raise GantoolError if the samples of a WebDataset are pictures with targets, such as masks."""
    views = sorted({name.rpartition("/")[2].partition(".")[2].rpartition(".")[0] for name in names})
    targets = [view for view in views if TARGETS.fullmatch(view)]
    pictures = [view for view in views if PICTURES.fullmatch(view)]
    if pictures and targets and len(pictures) + len(targets) == len(views):
        raise GantoolError(
            f"{archive}: {printable(', '.join([*pictures, *targets]))}: pictures and what belongs to each, not "
            f"classes: pack a tar of the .{printable(pictures[0])} files alone"
        )


def _label(name: str, beside: Callable[[str, str], tuple[str, bytes] | None]) -> int | str | None:
    """Return the class of an image, a number or a name, from its .cls or .json."""
    if found := beside(name, ".cls"):
        where, data = found
        text = data.decode("utf-8-sig", "replace").strip()
        if not text:
            raise GantoolError(f"{where} is empty: expected a class")
        try:
            return as_class(text)
        except ValueError as error:
            raise GantoolError(f"{where}: {printable(str(error))}: correct it") from error
    if found := beside(name, ".json"):
        where, data = found
        try:
            value = parse_json(data)
        except ValueError as error:
            raise GantoolError(f"{where} is damaged ({message_of(error)}): correct it") from error
        try:
            return as_class(value.get("label") if isinstance(value, dict) else None)
        except ValueError as error:
            raise GantoolError(
                f'{where}: its "label" is not one: {printable(str(error))}: correct it'
            ) from error
    return None

"""Classes of images: from a `dataset.json` as StyleGAN's tools write it, or from the names of folders.

dataset.json has {"labels": [["00000/img00000000.png", 6], ...]}, with paths relative to it; null means that there
are no labels. `class_names`, which gantool adds, may name the classes.

Without that file, the class of an image is the name of a folder on its path: the outermost one that differs between
images and is not a split (train, val, test ...; see splits.py). So `set/train/cat/1.png` is a cat, and so is
`cat/1.png`. If any image has no such folder, there are no classes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import GantoolError
from gantool.runtime.foreign import parse_json
from gantool.runtime.process.terminal import message_of, printable
from gantool.train.data.splits import (
    DOMAIN,
    PICTURES,
    SPLIT,
    TARGETS,
    above_splits,
    are_buckets,
    are_splits,
    hold_the_same,
)

DATASET_JSON = "dataset.json"
MAX_CLASSES = 10_000

_SHOWN = 10  # classes in a line of text
_FEW = 3  # so many images or fewer are too few to learn a class
_UNBALANCED = 20  # warn if a class has this many times the images of another
_LEAVE_OUT = "leave labels out with gantool data --no-labels"


@dataclass(frozen=True)
class Labels:
    """The class of each image, and the names of the classes."""

    values: NDArray[np.int64]  # [N], 0 .. len(classes) - 1
    classes: tuple[str, ...]
    note: str = ""  # how the classes were found, if the user may not expect it
    # images of each class in the set that these are a sample of, () if they are not known; None: this is the set
    of_all: tuple[int, ...] | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of images of each class; of a sample, of the set that it is from."""
        if self.of_all is not None:
            return self.of_all
        return tuple(np.bincount(self.values, minlength=len(self.classes)).tolist())

    def lines(self) -> list[str]:
        """Return a line with the number of images of each class, and lines about problems."""
        counts = self.counts
        pairs = list(zip(self.classes, counts, strict=True))
        shown = [f"{name}: {count:,}" for name, count in pairs[:_SHOWN]]
        if len(pairs) > _SHOWN:
            shown.append(f"and {len(pairs) - _SHOWN:,} more")
        lines = [f"{len(pairs):,} {'class' if len(pairs) == 1 else 'classes'}: {', '.join(shown)}"]
        if self.note:
            lines.append(self.note)
        if from_one := counts[0] == 0 and self.classes[0] == "0":
            lines.append("warning: no image has class 0: do the labels start at 1?")
        if few := [f"{name} ({count})" for name, count in pairs[from_one:] if count <= _FEW]:
            more = f" and {len(few) - _SHOWN:,} more" if len(few) > _SHOWN else ""
            lines.append(
                f"warning: too few images to learn a class from: {', '.join(few[:_SHOWN])}{more}; "
                "add images, or leave these classes out"
            )
        (most, largest), (least, smallest) = max(pairs, key=_count), min(pairs, key=_count)
        if smallest and largest >= _UNBALANCED * smallest:
            lines.append(
                f"warning: the classes are unbalanced: {most} has {largest:,} images, {least} {smallest:,}; "
                "small classes will look alike"
            )
        return lines


def _count(pair: tuple[str, int]) -> int:
    return pair[1]


def outside(name: str) -> bool:
    """Return whether the name of a member points outside of its archive. Such a member is never read."""
    parts = re.split(r"[/\\]", name)
    return ".." in parts or parts[0] == "" or parts[0].endswith(":")


def labels_of(
    names: list[str], dataset_json: bytes | None = None, where: str = DATASET_JSON, folder: str = ""
) -> Labels | None:
    """Return the labels of the images `names` (relative paths with /), or None if they have none.

    `dataset_json`: its content, or None to use folders. `where` and `folder`: the names of the dataset.json and of
    the folder of the images, for messages; `folder` is "" for an archive. Raises GantoolError if the dataset.json
    is damaged or lacks images, and for folders that are not classes.
    """
    if dataset_json is not None:
        return _from_json(names, dataset_json, where)
    return _from_folders(names, folder)[0]


def why_none(names: list[str]) -> str:
    """Return why the folders of the images `names` give no classes."""
    return _from_folders(names)[1]


def as_class(value: Any) -> int | str | None:
    """Return a class from a value in a file: a number (also from 3.0 or "3"), a name, or None for null.

    Raises ValueError for anything else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,5}", value):
        value = int(value)
    if (
        value is None
        or (isinstance(value, str) and value)
        or (type(value) is int and 0 <= value < MAX_CLASSES)
    ):
        return value
    text = json.dumps(value) if len(str(value)) < 20 else f"{str(value)[:20]}..."
    raise ValueError(f"class {text} is not a whole number from 0 to {MAX_CLASSES - 1}, and not a name")


def labels_of_values(names: list[str], values: list[int | str | None], where: str) -> Labels:
    """Return the labels of images from their classes, numbers or names, which come from files in `where`.

    If there are names, classes are sorted: numbers first, then names in alphabetical order. Raises GantoolError if
    some images have no class.
    """
    pairs = zip(names, values, strict=True)
    if without := next((name for name, value in pairs if value is None and not outside(name)), None):
        raise GantoolError(
            f"{where}: {printable(without)} has no class beside it, other images have a .cls or a .json with a "
            f"label: add it, or {_LEAVE_OUT}"
        )
    some = next((value for value in values if value is not None), 0)
    values = [some if value is None else value for value in values]
    if all(type(value) is int for value in values):
        numbers = np.array(values, np.int64)
        return Labels(numbers, tuple(map(str, range(int(numbers.max()) + 1))))
    texts = [str(value) for value in values]
    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    classes = list(dict.fromkeys(map(str, ordered)))
    if len(classes) > MAX_CLASSES:
        raise GantoolError(
            f"{where}: there are {len(classes):,} classes, at most {MAX_CLASSES:,} can be told apart"
        )
    number = {name: index for index, name in enumerate(classes)}
    return Labels(np.array([number[text] for text in texts], np.int64), tuple(map(printable, classes)))


def _from_folders(all_names: list[str], folder: str = "") -> tuple[Labels | None, str]:
    """Return (labels, ""), or (None, reason). Raises GantoolError for folders that are not classes."""
    names = [name for name in all_names if not outside(name)]
    if not names:
        return None, "it has no images"
    parts = [tuple(name.split("/")[:-1]) for name in names]  # the folders of each image, outermost first
    splits: list[str] = []
    depth = 0
    while True:
        level = {each[depth] if depth < len(each) else None for each in parts}
        if None in level:
            return None, _outside_classes(names, parts, depth, splits)
        found = sorted(each for each in level if each is not None)
        if are_splits(found) or hold_the_same(parts, depth):
            splits += [name for name in found if name not in splits]
        elif len(found) > 1 and not above_splits(parts, depth):
            break
        depth += 1
    if are_buckets(found, names, parts, depth):
        return None, f"{_listed(found)} are buckets, not classes: the numbers of the files go on across them"
    _check_classes(found, depth, parts, folder)
    if len(found) > MAX_CLASSES:
        return (
            None,
            f"its images lie in {len(found):,} folders, at most {MAX_CLASSES:,} classes are supported",
        )
    number = {name: index for index, name in enumerate(found)}
    class_of = {name: number[each[depth]] for name, each in zip(names, parts, strict=True)}
    values = np.array([class_of.get(name, 0) for name in all_names], np.int64)
    note = ""
    if splits:
        note = (
            f"{_listed(splits)}: taken for splits of one set, not for classes: classes are the folders inside"
        )
    elif odd := [name for name in found if SPLIT.fullmatch(name)]:
        note = f"{_listed(odd)}: taken for a class beside others, not for a split"
    return Labels(values, tuple(map(printable, found)), note), ""


def _check_classes(found: list[str], depth: int, parts: list[tuple[str, ...]], folder: str) -> None:
    """Raise GantoolError, with the source to give instead, for sibling folders that are not classes."""
    splits = [name for name in found if SPLIT.fullmatch(name)]
    others = [name for name in found if name not in splits]
    domains = [name for name in found if DOMAIN.fullmatch(name)]
    pictures = [name for name in found if PICTURES.fullmatch(name)]
    targets = [name for name in found if TARGETS.fullmatch(name)]
    # a folder "train" may be a class of vehicles, but not if it is the only one with folders inside
    deeper = {each[depth] for each in parts if len(each) > depth + 1}
    if others and (len(splits) > 1 or (splits and deeper == set(splits))):
        give, otherwise = splits, f"take {others[0]} out of there, or {_LEAVE_OUT}"
        what = f"{_listed(splits)}: splits of one set, with {_listed(others)} beside"
    elif len(domains) > 1:
        give, otherwise = domains, _LEAVE_OUT
        what = f"{_listed(domains)}: the two sides of an unpaired translation, not classes"
    elif pictures and targets and len(pictures) + len(targets) == len(found):
        give, otherwise = pictures, f"take {targets[0]} out of there"
        what = f"{_listed(pictures)}, {_listed(targets)}: pictures and what belongs to each, not classes"
    else:
        return
    one = min(give, key=lambda name: not name.lower().startswith("tr"))  # the training split, if there is one
    prefix = next("/".join(each[: depth + 1]) for each in parts if each[depth] == one)
    alone = f"give {quote(f'{folder}/{prefix}')} alone" if folder else f"unpack it and give {prefix} alone"
    raise GantoolError(f"{what}: {printable(alone)}, or {printable(otherwise)}")


def _listed(names: list[str]) -> str:
    return ", ".join(map(printable, names[:_SHOWN]))


def _outside_classes(names: list[str], parts: list[tuple[str, ...]], depth: int, splits: list[str]) -> str:
    """Return why there are no classes, for images of which some have no folder at this depth."""
    missing = [name for name, each in zip(names, parts, strict=True) if len(each) <= depth]
    if len(missing) < len(names):
        where = "outside of the splits" if not splits and depth else "in no class folder"
        return f"{len(missing):,} of its {len(names):,} images lie {where}, such as {printable(missing[0])}"
    if splits:
        return f"{_listed(splits)} are splits of one set, not classes"
    return "its images all lie in one folder"


def _from_json(names: list[str], text: bytes, where: str) -> Labels | None:
    try:
        value = parse_json(text)  # bytes, so that it also accepts UTF-16 and a byte-order mark
        if not isinstance(value, dict) or "labels" not in value:
            raise ValueError(f'it is {_NAMES.get(type(value), "a number")} without "labels"')
        if value["labels"] is None:
            return None
        known = _values(value["labels"])
    except ValueError as error:
        raise GantoolError(
            f'{where} is damaged ({message_of(error)}): expected {{"labels": [["name.png", 3], ...]}}; '
            f"correct it, or {_LEAVE_OUT}"
        ) from error
    names = [name.replace("\\", "/") for name in names]
    unused = known.keys() - set(names)
    if not names or all(known.get(name, 0) is None for name in names):
        return None
    values = [known.get(name) for name in names]
    pairs = zip(names, values, strict=True)
    if missing := next((name for name, value in pairs if value is None and not outside(name)), None):
        such = f" (but for {printable(min(unused))}, which is not there)" if unused else ""
        if same := next((name for name in unused if name.lower() == missing.lower()), None):
            such = f" (but for {printable(same)}: upper and lower case differ)"
        raise GantoolError(f"{where} has no label for {printable(missing)}{such}: add it, or {_LEAVE_OUT}")
    labels = labels_of_values(names, values, where)
    called, numbers = value.get("class_names"), not any(isinstance(each, str) for each in values)
    if numbers and isinstance(called, list) and len(called) >= len(labels.classes):
        labels = replace(labels, classes=tuple(printable(str(name))[:100] for name in called))
    note = (
        f"{where} names {len(unused):,} files that are not images of the set, such as {printable(min(unused))}"
        if unused
        else ""
    )
    return replace(labels, note=note)


_NAMES = {dict: "an object", list: "a list", str: "a text", type(None): "null"}  # JSON types


def _values(labels: Any) -> dict[str, int | str | None]:
    """Return name -> class. Raises ValueError for anything that is not a list of pairs."""
    if not isinstance(labels, list):
        raise ValueError(f'"labels" is {_NAMES.get(type(labels), "a number")}, not a list')
    values: dict[str, int | str | None] = {}
    for entry in labels:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise ValueError(f"{json.dumps(entry)[:60]} is not a pair of name and class")
        name = entry[0].replace("\\", "/").removeprefix("./")
        try:
            number = as_class(entry[1])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if values.setdefault(name, number) != number:
            raise ValueError(f"{name} is there twice, with classes {values[name]} and {number}")
    return values

"""Classes of images: from a `dataset.json` as StyleGAN's tools write it, or from the names of the folders.

dataset.json holds {"labels": [["00000/img00000000.png", 6], ...]}, paths from where it lies; null means that there
are none, and `class_names`, which is ours, may name the classes.

Without that file, images that all lie in folders have one of these as their class: the outermost that tells them
apart and is not a split (train, val, test ...). So `set/train/cat/1.png` is a cat, and so is `cat/1.png`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import GantoolError
from gantool.runtime.terminal import printable

DATASET_JSON = "dataset.json"
MAX_CLASSES = 10_000

_SHOWN = 10  # classes, in a line of text
_FEW = 3  # images of a class: too few to learn it from
_UNBALANCED = 20  # times as many images as another class has
_SPLIT = re.compile(
    r"(train|training|trn|val|valid|validation|dev|test|testing|tst|eval|evaluation|holdout)"
    r"([ _.-]?(set|data|images?|split|\d+))*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Labels:
    """The class of each image, and what the classes are called."""

    values: NDArray[np.int64]  # [N], 0 .. len(classes) - 1
    classes: tuple[str, ...]
    note: str = ""  # how they were found, where that is not plain to see

    def lines(self) -> list[str]:
        """Return the classes with the number of their images, and what is odd about these numbers."""
        counts = np.bincount(self.values, minlength=len(self.classes)).tolist()
        pairs = list(zip(self.classes, counts, strict=True))
        shown = [f"{name}: {count:,}" for name, count in pairs[:_SHOWN]]
        if len(pairs) > _SHOWN:
            shown.append(f"and {len(pairs) - _SHOWN:,} more")
        lines = [f"{len(pairs):,} classes: {', '.join(shown)}"]
        if self.note:
            lines.append(self.note)
        if few := [f"{name} ({count})" for name, count in pairs if count <= _FEW]:
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
    """Say whether the name of a member would lead out of its archive; such a member is never read."""
    parts = re.split(r"[/\\]", name)
    return ".." in parts or parts[0] == "" or parts[0].endswith(":")


def labels_of(
    names: list[str], dataset_json: bytes | None = None, where: str = DATASET_JSON
) -> Labels | None:
    """Return the labels of the images called `names` (relative, with /), or None if they have none.

    `where` names the dataset.json in errors. Raises GantoolError if it cannot be read, or leaves images out.
    """
    if dataset_json is not None:
        return _from_json(names, dataset_json, where)
    return _from_folders(names)[0]


def why_none(names: list[str]) -> str:
    """Return why images called `names` have no classes by their folders."""
    return _from_folders(names)[1]


def labels_of_values(names: list[str], values: list[int | str | None], where: str) -> Labels:
    """Return the labels of images whose classes are numbers, or names, as a WebDataset in `where` gives them.

    Raises GantoolError where some have none, and for numbers that are none of a class.
    """
    pairs = zip(names, values, strict=True)
    if missing := next((name for name, value in pairs if value is None and not outside(name)), None):
        raise GantoolError(
            f"{where}: {printable(missing)} has no class beside it, other images have a .cls or a .json with a "
            "label: add it, or leave labels out with gantool data --no-labels"
        )
    some = next(value for value in values if value is not None)
    values = [some if value is None else value for value in values]
    if all(type(value) is int for value in values):
        numbers = np.array(values, dtype=object)
        if wrong := next((each for each in numbers if not 0 <= each < MAX_CLASSES), None):
            raise GantoolError(
                f"{where}: a class is {str(wrong)[:20]}: expected a whole number from 0 to {MAX_CLASSES - 1}"
            )
        return Labels(numbers.astype(np.int64), tuple(map(str, range(int(numbers.max()) + 1))))
    texts = [str(value) for value in values]
    classes = sorted(set(texts))
    if len(classes) > MAX_CLASSES:
        raise GantoolError(
            f"{where}: there are {len(classes):,} classes, at most {MAX_CLASSES:,} can be told apart"
        )
    number = {name: index for index, name in enumerate(classes)}
    return Labels(np.array([number[text] for text in texts], np.int64), tuple(map(printable, classes)))


def _from_folders(all_names: list[str]) -> tuple[Labels | None, str]:
    """Return the labels and "", or None and the reason."""
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
        if all(map(_SPLIT.fullmatch, found)):
            splits += found
        elif len(found) > 1 and not _above_splits(parts, depth):
            break
        depth += 1
    if len(found) > MAX_CLASSES:
        return (
            None,
            f"its images lie in {len(found):,} folders, at most {MAX_CLASSES:,} classes can be told apart",
        )
    number = {name: index for index, name in enumerate(found)}
    class_of = {name: number[each[depth]] for name, each in zip(names, parts, strict=True)}
    values = np.array([class_of.get(name, 0) for name in all_names], np.int64)
    note = ""
    if splits:
        shown = ", ".join(map(printable, splits[:_SHOWN]))
        note = f"{shown}: taken for splits of one set, not for classes: classes are the folders inside"
    elif odd := [name for name in found if _SPLIT.fullmatch(name)]:
        note = f"{', '.join(map(printable, odd[:_SHOWN]))}: taken for a class beside others, not for a split"
    return Labels(values, tuple(map(printable, found)), note), ""


def _above_splits(parts: list[tuple[str, ...]], depth: int) -> bool:
    """Say whether the folders at this depth are data sets: below each are splits, and classes below these."""
    below = [each[depth + 1 : depth + 3] for each in parts]
    return (
        all(len(each) == 2 and _SPLIT.fullmatch(each[0]) for each in below) and len({b for _, b in below}) > 1
    )


def _outside_classes(names: list[str], parts: list[tuple[str, ...]], depth: int, splits: list[str]) -> str:
    """Return why there are no classes, when some images lie in no folder at this depth."""
    missing = [name for name, each in zip(names, parts, strict=True) if len(each) <= depth]
    if len(missing) < len(names):
        where = "outside of the splits" if not splits and depth else "in no class folder"
        return f"{len(missing):,} of its {len(names):,} images lie {where}, such as {printable(missing[0])}"
    if splits:
        return f"{', '.join(map(printable, splits[:_SHOWN]))} are splits of one set, not classes"
    return "its images all lie in one folder"


def _from_json(names: list[str], text: bytes, where: str) -> Labels | None:
    try:
        value = json.loads(text)  # bytes: UTF-8 with a mark of the byte order, and UTF-16, are read too
        if value["labels"] is None:
            return None
        numbers = _numbers(value["labels"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise GantoolError(
            f'{where} is damaged ({printable(reason)[:200]}): expected {{"labels": [["name.png", 3], ...]}}; '
            "mend it, or leave labels out with gantool data --no-labels"
        ) from error
    names = [name.replace("\\", "/") for name in names]
    if missing := next((name for name in names if name not in numbers and not outside(name)), None):
        raise GantoolError(
            f"{where} has no label for {printable(missing)}: add it, or leave labels out with "
            "gantool data --no-labels"
        )
    values = np.array([numbers.get(name, 0) for name in names], np.int64)
    count = int(values.max(initial=-1)) + 1
    called = value.get("class_names")
    if not isinstance(called, list) or len(called) < count:
        called = list(range(count))
    unused = numbers.keys() - set(names)
    note = (
        f"{where} names {len(unused):,} files that are not images of the set, such as {printable(min(unused))}"
        if unused
        else ""
    )
    return Labels(values, tuple(printable(str(name))[:100] for name in called), note) if count else None


def _numbers(labels: Any) -> dict[str, int]:
    """Return the class of each name. Raises ValueError or TypeError for anything that is not a list of pairs."""
    if not isinstance(labels, list):
        raise TypeError(f"labels is {type(labels).__name__}, not a list")
    numbers: dict[str, int] = {}
    for entry in labels:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise TypeError(f"{str(entry)[:60]} is not a pair of name and class")
        name, number = entry[0].replace("\\", "/").removeprefix("./"), entry[1]
        if type(number) is not int or not 0 <= number < MAX_CLASSES:
            raise ValueError(
                f"class {str(number)[:20]} of {name} is not a whole number from 0 to {MAX_CLASSES - 1}"
            )
        if numbers.setdefault(name, number) != number:
            raise ValueError(f"{name} is there twice, with classes {numbers[name]} and {number}")
    return numbers

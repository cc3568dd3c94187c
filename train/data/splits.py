"""Recognize sibling folders that are not classes: splits (train, val ...), buckets, pictures and their targets."""

from __future__ import annotations

import re
from itertools import pairwise

_SPLITS = "(train|training|trn|val|valid|validation|dev|test|testing|tst|eval|evaluation|holdout)"
# One digit at a time: with \d+ in the repeated group, "train", thirty digits and a letter took minutes.
SPLIT = re.compile(rf"{_SPLITS}([ _.-]?(set|data|images?|split|\d))*", re.IGNORECASE)
DOMAIN = re.compile(rf"{_SPLITS}[ _.-]?[AB]", re.IGNORECASE)  # trainA, as in CycleGAN's data sets
PICTURES = re.compile(
    "(image|img|jpe?g(image)?|picture|photo|rgb|input|source)s?([ _.-]?(train|val|test|2))?", re.IGNORECASE
)
TARGETS = re.compile(
    "(seg(mentation)?[ _.-]?)?(mask|label|annotation|segmentation|seg|gt|ground[ _.-]?truth|depth|normal|edge|"
    "matte|alpha|target|trimap)s?(class|object)?([ _.-]?(train|val|test|2))?",
    re.IGNORECASE,
)
_WORD = re.compile(f"{_SPLITS}|gallery|query|background|pred")
_TARGET_WORD = re.compile("(mask|label|annotation|gt|target)s?")
_BUCKET_DIGITS = 5
_EQUAL_DIGITS = 3  # if all names have equally many digits; 0 to 9 and 00 to 99 may well be classes

Folders = list[tuple[str, ...]]  # for each image, the folders on its path, outermost first


def are_splits(found: list[str]) -> bool:
    """Return whether sibling folders are splits by their names: train, val; or seg_train, seg_test.

    Names like the latter must contain at least two different split words: freight_train and steam_train are
    classes.
    """
    if all(map(SPLIT.fullmatch, found)):
        return True
    if any(map(DOMAIN.fullmatch, found)):
        return False
    words = [set(re.split(r"[_\-. \d]+", name.lower())) for name in found]
    if any(_TARGET_WORD.fullmatch(word) for each in words for word in each):
        return False
    of_splits = [{word for word in each if _WORD.fullmatch(word)} for each in words]
    return all(of_splits) and len(set().union(*of_splits)) > 1


def hold_the_same(parts: Folders, depth: int) -> bool:
    """Return whether the folders at this depth, two or more, all contain the same folders, which may be classes."""
    inside: dict[str, set[str]] = {}
    for each in parts:
        if len(each) < depth + 2:
            return False
        inside.setdefault(each[depth], set()).add(each[depth + 1])
    first, *others = inside.values()
    return (
        len(others) > 0
        and len(first) > 1
        and all(first == other for other in others)
        and not any(p.fullmatch(name) for p in (SPLIT, PICTURES, TARGETS) for name in first)
        and not _numbered(first)
    )


def above_splits(parts: Folders, depth: int) -> bool:
    """Return whether the folders at this depth are data sets that contain splits, which contain classes."""
    below = [each[depth + 1 : depth + 3] for each in parts]
    return (
        all(len(each) == 2 and SPLIT.fullmatch(each[0]) for each in below) and len({b for _, b in below}) > 1
    )


def are_buckets(found: list[str], names: list[str], parts: Folders, depth: int) -> bool:
    """Return whether folders are numbered buckets: the numbers of the files continue from one to the next."""
    if not _numbered(found):
        return False
    numbers: dict[str, list[int]] = {name: [] for name in found}
    for name, each in zip(names, parts, strict=True):
        digits = re.findall(r"\d+", name.rpartition("/")[2].partition(".")[0])
        if len(each) != depth + 1 or not digits:
            return False
        numbers[each[depth]].append(int(digits[-1][-18:]))
    ordered = [numbers[name] for name in sorted(found, key=int)]
    return all(max(one) < min(other) for one, other in pairwise(ordered))


def _numbered(found: list[str] | set[str]) -> bool:
    if not all(name.isascii() and name.isdecimal() and len(name) < 19 for name in found):
        return False
    lengths = {len(name) for name in found}
    return min(lengths) >= _BUCKET_DIGITS or (len(lengths) == 1 and min(lengths) >= _EQUAL_DIGITS)

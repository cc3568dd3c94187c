"""Which folder of an image is its class, and what is said of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gantool.runtime.errors import GantoolError
from gantool.train.data.labels import Labels, as_class, labels_of, labels_of_values, why_none


def paths(*folders: str) -> list[str]:
    return [f"{folder}/{number}.png" for folder in folders for number in range(3)]


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("cat", "dog"), ("cat", "dog")),
        (("set/cat", "set/dog"), ("cat", "dog")),
        (("a/b/c/cat", "a/b/c/dog"), ("cat", "dog")),
        (("TRAIN/cat", "TRAIN/dog", "Val/cat"), ("cat", "dog")),
        (("pets/train/cat", "pets/valid/dog"), ("cat", "dog")),
        (("train2017/cat", "val2017/dog"), ("cat", "dog")),
        (("training_set/cat", "test_set/dog"), ("cat", "dog")),
        (("train/wild/cat", "train/wild/fox", "train/pets/dog"), ("pets", "wild")),
        (("cat/train", "cat/val", "dog/train", "dog/val"), ("cat", "dog")),
        (("one/train/cat", "one/test/dog", "two/train/cat"), ("cat", "dog")),
        (("trainer", "tester"), ("tester", "trainer")),
        (("train", "bus"), ("bus", "train")),
    ],
)
def test_the_outermost_folder_that_tells_apart_and_is_no_split(
    folders: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    names = paths(*folders)
    labels = labels_of(names)
    assert labels
    assert labels.classes == classes
    for name, value in zip(names, labels.values, strict=True):
        assert classes[value] in name.split("/")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (paths("train", "val"), "train, val are splits of one set"),
        (paths("pictures"), "all lie in one folder"),
        (["1.png", "2.png"], "all lie in one folder"),
        ([*paths("cat", "dog"), "1.png"], "1 of its 7 images lie in no class folder, such as 1.png"),
        (
            paths("train/cat", "train/dog", "test"),
            "3 of its 9 images lie in no class folder, such as test/0.png",
        ),
        ([], "no images"),
    ],
)
def test_why_there_are_none(names: list[str], reason: str) -> None:
    assert labels_of(names) is None
    assert reason in why_none(names)


def test_names_that_lead_out_of_an_archive_are_no_classes() -> None:
    labels = labels_of([*paths("cat", "dog"), "../up.png", "/root/up.png"])
    assert labels
    assert labels.classes == ("cat", "dog")
    assert len(labels.values) == 8


def test_what_is_said_of_classes() -> None:
    names = tuple(f"class {number}" for number in range(12))
    counts = [200, *[20] * 9, 5, 0]
    lines = Labels(np.repeat(np.arange(12), counts), names).lines()
    assert lines[0].startswith("12 classes: class 0: 200, class 1: 20, ")
    assert lines[0].endswith("class 9: 20, and 2 more")
    assert "too few images to learn a class from: class 11 (0);" in lines[1]
    lines = Labels(np.repeat([0, 1], [60, 3]), ("cat", "owl")).lines()
    assert "too few images to learn a class from: owl (3);" in lines[1]
    assert "cat has 60 images, owl 3" in lines[2]


def test_classes_beside_images() -> None:
    names = ["1.png", "2.png", "3.png"]
    assert labels_of_values(names, [2, 0, 2], "s.tar").classes == ("0", "1", "2")
    labels = labels_of_values(names, ["cat", 10, 9], "s.tar")
    assert (labels.classes, labels.values.tolist()) == (("9", "10", "cat"), [2, 1, 0])
    with pytest.raises(GantoolError, match="s.tar: 2.png has no class beside it"):
        labels_of_values(names, [1, None, 0], "s.tar")


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3), (3.0, 3), ("3", 3), ("cat", "cat"), ("3.5", "3.5"), (None, None)]
)
def test_a_class_in_a_file(value: Any, expected: int | str | None) -> None:
    assert as_class(value) == expected


@pytest.mark.parametrize("value", [-1, 0.5, 10**30, True, "", [0, 1], {}, float("nan"), 1e400])
def test_what_is_not_a_class(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a whole number from 0 to 9999, and not a name"):
        as_class(value)


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (
            ("train/cat", "val/cat", "raw"),
            "train, val: splits of one set, with raw beside: give set/train alone",
        ),
        (
            ("train/cat", "train/dog", "raw"),
            "train: splits of one set, with raw beside: give set/train alone",
        ),
        (("s/test", "s/dev", "s/all", "s/more"), "dev, test: splits of one set, with all, more beside"),
        (
            ("trainA", "trainB", "testA", "testB"),
            "the two sides of an unpaired translation.* give set/trainA",
        ),
        (("x/train_a", "x/train_b"), "give set/x/train_a alone"),
        (("images", "masks"), "give set/images alone, or take masks out of there"),
        (("train/imgs", "train/labels", "val/imgs", "val/labels"), "give set/train/imgs alone"),
        (("JPEGImages", "SegmentationClass"), "give set/JPEGImages alone"),
        (("rgb", "depth", "normals"), "give set/rgb alone"),
    ],
)
def test_folders_that_are_not_classes(folders: tuple[str, ...], says: str) -> None:
    with pytest.raises(GantoolError, match=says):
        labels_of(paths(*folders), folder="set")


@pytest.mark.parametrize(
    "folders", [("photo", "sketch"), ("mask", "hat"), ("car", "edge"), ("A", "B"), ("bus", "test")]
)
def test_folders_that_are_classes_after_all(folders: tuple[str, ...]) -> None:
    labels = labels_of(paths(*folders))
    assert labels
    assert set(labels.classes) == set(folders)

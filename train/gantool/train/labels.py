"""Classes of images: from a `dataset.json` as StyleGAN's tools write it, or from the names of the folders.

dataset.json holds {"labels": [["00000/img00000000.png", 6], ...]}, paths from where it lies; null means that there
are none, and `class_names`, which is ours, may name the classes. Without that file, images that all lie in folders
have the name of the outermost one as their class.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import GantoolError
from gantool.train.decode import printable

DATASET_JSON = "dataset.json"
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class Labels:
    """The class of each image, and what the classes are called."""

    values: NDArray[np.int64]  # [N], 0 .. len(classes) - 1
    classes: tuple[str, ...]


def labels_of(names: list[str], dataset_json: bytes | None) -> Labels | None:
    """Return the labels of the images called `names` (relative, with /), or None if they have none.

    Raises GantoolError for a dataset.json that cannot be read, or that leaves images out.
    """
    if dataset_json is not None:
        return _from_json(names, dataset_json)
    folders = [name.partition("/")[0] if "/" in name else None for name in names]
    classes = sorted({folder for folder in folders if folder is not None})
    if None in folders or not 2 <= len(classes) <= MAX_CLASSES:
        return None
    number = {name: index for index, name in enumerate(classes)}
    values = np.array([number[folder] for folder in folders if folder is not None], np.int64)
    return Labels(values, tuple(map(printable, classes)))


def _from_json(names: list[str], text: bytes) -> Labels | None:
    try:
        value = json.loads(text)
        if value["labels"] is None:
            return None
        numbers = {str(name): number for name, number in value["labels"]}
        if not all(type(number) is int and 0 <= number < MAX_CLASSES for number in numbers.values()):
            raise ValueError(f"a class is no whole number from 0 to {MAX_CLASSES - 1}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GantoolError(
            f'{DATASET_JSON} is damaged ({error}): expected {{"labels": [["name.png", 3], ...]}}; mend it, or '
            "leave labels out with gantool data --no-labels"
        ) from error
    if missing := next((name for name in names if name not in numbers), None):
        raise GantoolError(
            f"{DATASET_JSON} has no label for {printable(missing)}: add it, or leave labels out with "
            "gantool data --no-labels"
        )
    values = np.array([numbers[name] for name in names], np.int64)
    count = int(values.max(initial=-1)) + 1
    called = value.get("class_names")
    if not isinstance(called, list) or len(called) < count:
        called = list(range(count))
    return Labels(values, tuple(printable(str(name)) for name in called)) if count else None

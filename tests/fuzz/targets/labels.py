"""The classes of a data set: its dataset.json, or else the folders of its images.

An input is a dataset.json, or a JSON list of names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from fuzz.mutate import json_values
from gantool.train.data.labels import MAX_CLASSES, labels_of, why_none

MUTATE = json_values
_NAMES = ["0/a.png", "0/b.png", "1/c.png"]


def seeds() -> Iterator[bytes]:
    yield b'{"labels": [["0/a.png", 0], ["0/b.png", 0], ["1/c.png", 1]], "class_names": ["cat", "dog"]}'
    yield b'{"labels": [["0/a.png", "cat"], ["0\\\\b.png", 3.0], ["./1/c.png", "7"], ["d.png", 1]]}'
    yield b'{"labels": null}'
    yield b'\xef\xbb\xbf{"labels": [["0/a.png", null]]}'
    for names in (
        ["cat/1.png", "dog/2.png"],
        ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"],
        ["cat/train/1.png", "cat/test/2.png", "dog/train/1.png", "dog/test/2.png"],
        ["train/1.png", "val/2.png", "more/3.png"],
        ["trainA/1.png", "trainB/1.png"],
        ["images/1.png", "masks/1.png"],
        ["00000/img00000000.png", "00001/img00001000.png", "00002/img00002000.png"],
        ["../a/1.png", "b/1.png", "1.png"],
    ):
        yield json.dumps(names).encode()


def run(data: bytes) -> None:
    names = _names(data)
    labels = labels_of(_NAMES, data) if names is None else labels_of(names)
    if labels is None:
        assert names is None or why_none(names).isprintable()
        return
    assert labels.values.shape == (len(_NAMES if names is None else names),)
    assert (
        0 <= labels.values.min() <= labels.values.max() < len(labels.classes) <= max(MAX_CLASSES, len(data))
    )
    assert all(line.isprintable() for line in labels.lines())


def _names(data: bytes) -> list[str] | None:
    """Return the names of images, if an input is a list of texts."""
    with suppress(ValueError, RecursionError):
        names = json.loads(data)
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            return names
    return None

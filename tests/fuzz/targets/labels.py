"""The dataset.json of a data set, which gives each image its class."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.mutate import json_values
from gantool.train.data.labels import MAX_CLASSES, labels_of

MUTATE = json_values
_NAMES = ["0/a.png", "0/b.png", "1/c.png"]


def seeds() -> Iterator[bytes]:
    yield b'{"labels": [["0/a.png", 0], ["0/b.png", 0], ["1/c.png", 1]], "class_names": ["cat", "dog"]}'
    yield b'{"labels": [["0/a.png", "cat"], ["0\\\\b.png", 3.0], ["./1/c.png", "7"], ["d.png", 1]]}'
    yield b'{"labels": null}'
    yield b'\xef\xbb\xbf{"labels": [["0/a.png", null]]}'


def run(data: bytes) -> None:
    labels = labels_of(_NAMES, data)
    if labels is None:
        return
    assert labels.values.shape == (3,)
    assert (
        0 <= labels.values.min() <= labels.values.max() < len(labels.classes) <= max(MAX_CLASSES, len(data))
    )
    assert all(line.isprintable() for line in labels.lines())

"""Write dataset.json, the labels of images, in the form of StyleGAN's tools; gantool adds `class_names`.

    {"labels": [["Shoes/seed0004.png", 3], ...], "class_names": ["Top", ...]}

The images of an array have the names "image 0", "image 1" and so on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantool.runtime.errors import UsageError
from gantool.runtime.files import atomic
from gantool.runtime.foreign import parse_json
from gantool.runtime.items import Items
from gantool.runtime.outputs.base import Target
from gantool.runtime.process.terminal import message_of
from gantool.runtime.spec import Spec

NAME = "dataset.json"
_FIRST = b'{"labels": [\n'
_TAIL = 1 << 22  # bytes that hold the names of the classes
Entry = tuple[str, int]  # the name of an image relative to the file, with /, and its class


@dataclass(frozen=True)
class LabelsFile:
    """The labels of the images of one run."""

    name: str
    items: Items
    suffix: str  # of the files; "": the images are in an array
    class_names: tuple[str, ...]

    def other_classes(self, folder: Path) -> Path | None:
        """Return the file in `folder` if it is of other classes, so that it cannot have more of these."""
        try:
            names = _class_names(folder / self.name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            return folder / self.name
        return None if names == list(self.class_names) else folder / self.name

    def write(self, folder: Path) -> None:
        """Write the labels; keep those of other images that are there, and the file if it is the same already.

        The memory does not grow with the number of items, but with that of the other images.
        """
        path = folder / self.name
        if _is(path, self._text({})):
            return
        others: dict[str, int] = {}
        if path.exists() and not self.other_classes(folder):
            others = dict(self._others(path))
            for name, _ in self:
                others.pop(name, None)
        with atomic(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self._text(others))

    def __iter__(self) -> Iterator[Entry]:
        for number, item in enumerate(self.items):
            assert item.label is not None
            yield f"{item.name}{self.suffix}" if self.suffix else f"image {number}", item.label

    def _text(self, others: dict[str, int]) -> Iterator[str]:
        """Yield the file in pieces: one image a line."""
        yield _FIRST.decode().rstrip()
        before = ""
        for entries in (others.items(), self):
            for entry in entries:
                yield f"{before}\n{json.dumps(entry)}"
                before = ","
        yield "\n]" + (f', "class_names": {json.dumps(self.class_names)}' if self.class_names else "") + "}\n"

    def _others(self, path: Path) -> Iterator[Entry]:
        """Yield the labels in a file of other images that are there. The images of an array replace all of it."""
        try:
            for name, label in _read(path)["labels"]:
                in_array = name.startswith("image ")
                if (self.suffix and in_array) or (not in_array and os.path.isfile(path.parent / name)):  # noqa: PTH113
                    yield name, label
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path} is not a list of labels ({message_of(error)}): move it, or choose another `out`"
            ) from error


def labels_file(target: Target, items: Items, every: Items, spec: Spec) -> LabelsFile | None:
    """Return the file for the labels of a run; None for a generator without classes, and for tars, which have them.

    Shards of files share one file: each writes the labels of all shards, `every`. An array has one of its own.
    """
    if spec.classes == 0 or target.format in ("tar", "-") or not len(items):
        return None
    if target.format == "npy":
        return LabelsFile(f"dataset{target.part}.json", items, "", spec.class_names)
    return LabelsFile(NAME, every, f".{target.encoding.format}", spec.class_names)


def _is(path: Path, pieces: Iterable[str]) -> bool:
    """Return whether a file has exactly this text."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)
    except (OSError, ValueError):
        return False


def _class_names(path: Path) -> Any:
    """Return the names of the classes in a file, [] for none. Raises OSError, or ValueError for another form."""
    with path.open("rb") as file:
        if (
            file.read(len(_FIRST)) == _FIRST
        ):  # gantool's own: its last line has the names, before it lie millions
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            with suppress(ValueError):
                last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
                return parse_json(_FIRST + last).get("class_names") or []
    return _read(path).get("class_names") or []


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a file. Raises OSError, or ValueError if it is not of this form."""
    content = parse_json(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("labels"), list):
        raise ValueError('it has no list of "labels"')
    return content

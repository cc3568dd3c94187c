"""What a file says of its generator: the JSON object under `gantool` in a checkpoint and in a graph.

A graph takes it from its checkpoint, sidecar and bundle take it from their graph: word for word, also what is not
known here. So a field is written once, in `Metadata.of`, and read in one place, by its property.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import reason_of, short

FORMAT = 1  # of checkpoints
_SIZE = "the size and the distribution of z"


@dataclass(frozen=True)
class Metadata:
    """What a file says of its generator.

    A field is checked when it is read, since a wrong one is in the way only of what needs it: such a file is still
    looked into, or built into an engine. Each property raises GantoolError, naming file and field.
    """

    content: dict[str, Any]  # the JSON object, with its keys in the file's order
    path: Path | None = field(default=None, compare=False)  # the file, for errors

    @classmethod
    def of(
        cls,
        *,
        architecture: str,
        latent: int,
        distribution: str,
        data: str,
        classes: int = 0,
        image: tuple[int, int, int] | None = None,
        config: dict[str, Any] | None = None,
        images_seen: int | None = None,
        class_names: Sequence[str] = (),
    ) -> Metadata:
        """Return the metadata of a generator of this gantool; what is None is left out."""
        from importlib.metadata import version  # not at the start of every command

        content = {
            "format": FORMAT,
            "architecture": architecture,
            "config": config,
            "image": None if image is None else list(image),
            "latent": {"size": latent, "distribution": distribution},
            "classes": classes,
            "images_seen": images_seen,
            "data": data,
            "gantool": version("gantool"),
            "class_names": list(class_names) or None,
        }
        return cls({name: value for name, value in content.items() if value is not None})

    @classmethod
    def parse(cls, text: str | bytes, path: Path) -> Metadata:
        """Read the JSON that the file `path` has. Raises GantoolError if it is not an object."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"its metadata are not JSON, {reason_of(error)}") from error
        return cls.from_json(value, path)

    @classmethod
    def from_json(cls, value: Any, path: Path | None) -> Metadata:
        """Take a JSON value that the file `path` has. Raises GantoolError if it is not an object."""
        if not isinstance(value, dict):
            raise _damaged(path, f"its metadata are {short(value)}, expected a JSON object")
        return cls(value, path)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, as it was read."""
        return dict(self.content)

    def __bool__(self) -> bool:
        """Whether there are any: a graph that was made elsewhere has none."""
        return bool(self.content)

    @property
    def format(self) -> Any:
        """The version of the format; FORMAT is known."""
        return self._required("format", "the number of a format")

    @property
    def architecture(self) -> str:
        """The name of the network."""
        return str(self._required("architecture", "the name of a network"))

    @property
    def config(self) -> dict[str, Any]:
        """The settings of a network of gantool, which `models` reads."""
        value = self.content.get("config")
        if not isinstance(value, dict):
            raise self.wrong("config", "the settings of a network")
        return value

    @property
    def image(self) -> tuple[int, int, int]:
        """The size of an image: H, W, C."""
        match self.content.get("image"):
            case [int(height), int(width), int(channels)]:
                return height, width, channels
        raise self.wrong("image", "height, width and channels")

    @property
    def latent(self) -> int:
        """The size of z."""
        match self.content.get("latent"):
            case {"size": int(size)}:
                return size
        raise self.wrong("latent", _SIZE)

    @property
    def distribution(self) -> str | None:
        """The distribution of z; None where the file does not say."""
        match self.content.get("latent", {}):
            case {"distribution": str(name)}:
                return name
            case {"distribution": _}:
                raise self.wrong("latent", _SIZE)
            case {}:
                return None
        raise self.wrong("latent", _SIZE)

    @property
    def classes(self) -> int:
        """How many classes there are; 0 where it takes no label, or where the file does not say."""
        try:
            return int(self.content.get("classes", 0))
        except (ValueError, TypeError, OverflowError) as error:
            raise self.wrong("classes", "a whole number") from error

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; () unless there is one for each."""
        names = self.class_names_as_given
        if not isinstance(names, list) or len(names) != self.classes:
            return ()
        return tuple(map(str, names))

    @property
    def class_names_as_given(self) -> Any:
        """What the file has for names, also where they do not fit; None where it has none."""
        return self.content.get("class_names")

    @property
    def images_seen(self) -> float:
        """The images that it was trained on, counted as often as they were shown."""
        seen = self.content.get("images_seen")
        if isinstance(seen, bool) or not isinstance(seen, (int, float)) or not 0 <= seen < 2**63:
            raise self.wrong("images_seen", "a count")
        return seen

    @property
    def data(self) -> str:
        """The name of the data set, or of the file that a generator from elsewhere came from."""
        return str(self._required("data", "the name of a data set"))

    @property
    def gantool(self) -> str:
        """The version of gantool that wrote it."""
        return str(self.content.get("gantool", "unknown"))

    @property
    def training(self) -> tuple[Any, ...]:
        """What differs between the weights of two trainings, unchecked: compare it."""
        return tuple(self.content.get(name) for name in ("images_seen", "data", "config"))

    def with_image(self, image: tuple[int, int, int]) -> Metadata:
        """Return these with the size of an image: H, W, C."""
        return replace(self, content={**self.content, "image": list(image)})

    def with_data(self, data: str) -> Metadata:
        """Return these with another name of the data set."""
        return replace(self, content={**self.content, "data": data})

    def check(self) -> None:
        """Raise GantoolError if a field that a run needs is wrong, before a library is loaded for it."""
        _ = self.distribution, self.classes

    def wrong(self, name: str, expected: str) -> GantoolError:
        """Return the error for a field that is missing or not what was expected."""
        found = f"is {short(repr(self.content[name]))}" if name in self.content else "is missing"
        return _damaged(self.path, f"`{name}` {found} in its metadata, expected {expected}")

    def _required(self, name: str, expected: str) -> Any:
        if name not in self.content:
            raise self.wrong(name, expected)
        return self.content[name]


def _damaged(path: Path | None, what: str) -> GantoolError:
    return GantoolError(f"{path or 'the generator'} is damaged ({what}): copy it again, or make it again")

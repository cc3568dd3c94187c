"""The generator's metadata: the JSON object under `gantool` in a checkpoint and in a graph.

Export copies it from checkpoint to graph, sidecar and bundle, with unknown fields. So each field is written in one
place, `Metadata.of`, and read in one place, its property.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gantool
from gantool.runtime.authorship import Authorship
from gantool.runtime.errors import GantoolError
from gantool.runtime.flags import options
from gantool.runtime.foreign import parse_json
from gantool.runtime.process.terminal import reason_of, short

FORMAT = 1  # of checkpoints
LATENT = "the size and the distribution of z"  # expected under "latent"


@dataclass(frozen=True)
class Metadata:
    """The metadata of a generator, as a file has them.

    A field is checked when it is read, not when the file is: a file with a wrong field can still be inspected, or
    built into an engine that does not need it. Each property raises GantoolError, which names file and field.
    """

    content: dict[str, Any]  # the JSON object, with its keys in the file's order
    path: Path | None = field(default=None, compare=False)  # for error messages

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
        class_counts: Sequence[int] = (),
        bits: int = 8,
        int8_limits: Sequence[float] = (),
    ) -> Metadata:
        """Return the metadata of a generator that this gantool makes, without the fields that are None."""
        content = {
            "format": FORMAT,
            "architecture": architecture,
            "config": config,
            "image": None if image is None else list(image),
            "bits": None if bits == 8 else bits,
            "latent": {"size": latent, "distribution": distribution},
            "classes": classes,
            "images_seen": images_seen,
            "data": data,
            "gantool": gantool.__version__,
            "class_names": list(class_names) or None,
            "class_counts": list(class_counts) or None,
            "int8_limits": list(int8_limits) or None,
        }
        return cls({name: value for name, value in content.items() if value is not None})

    @classmethod
    def parse(cls, text: str | bytes, path: Path) -> Metadata:
        """Parse the JSON text in the file `path`. Raises GantoolError if it is not an object."""
        try:
            value = parse_json(text)
        except ValueError as error:
            raise _damaged(path, f"its metadata are not JSON, {reason_of(error)}") from error
        return cls.from_json(value, path)

    @classmethod
    def from_json(cls, value: Any, path: Path | None) -> Metadata:
        """Return the metadata from a JSON value in the file `path`. Raises GantoolError if it is not an object."""
        if not isinstance(value, dict):
            raise _damaged(path, f"its metadata are {short(value)}, expected a JSON object")
        return cls(value, path)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object as it was read."""
        return dict(self.content)

    def __bool__(self) -> bool:
        """Whether there are any. A graph that another tool made has none."""
        return bool(self.content)

    @property
    def format(self) -> Any:
        """The format of the checkpoint; this gantool reads FORMAT."""
        return self._required("format", "the number of a format")

    @property
    def architecture(self) -> str:
        """The name of the network."""
        return _text(self._required("architecture", "the name of a network"))

    @property
    def config(self) -> dict[str, Any]:
        """The network configuration, which `gantool.models` parses."""
        value = self.content.get("config")
        if not isinstance(value, dict):
            raise self.wrong("config", "the settings of a network")
        return value

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of an image: H, W, C."""
        match self.content.get("image"):
            case [int(height), int(width), int(channels)]:
                return height, width, channels
        raise self.wrong("image", "height, width and channels")

    @property
    def bits(self) -> int:
        """The bits of a grey level: 8, or 16 for grey images of 16 bits."""
        bits = self.content.get("bits", 8)
        if bits not in (8, 16):
            raise self.wrong("bits", "8 or 16")
        return int(bits)

    @property
    def latent(self) -> int:
        """The size of z."""
        match self.content.get("latent"):
            case {"size": int(size)}:
                return size
        raise self.wrong("latent", LATENT)

    @property
    def distribution(self) -> str | None:
        """The distribution of z; None if the file does not have it."""
        match self.content.get("latent", {}):
            case {"distribution": str(name)}:
                return name
            case {"distribution": _}:
                raise self.wrong("latent", LATENT)
            case {}:
                return None
        raise self.wrong("latent", LATENT)

    @property
    def classes(self) -> int:
        """The number of classes; 0 if the generator takes no label, or if the file does not have it."""
        try:
            return int(self.content.get("classes", 0))
        except (ValueError, TypeError, OverflowError) as error:
            raise self.wrong("classes", "a whole number") from error

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; () unless there is one for each class."""
        names = self.class_names_as_given
        if not isinstance(names, list) or len(names) != self.classes:
            return ()
        return tuple(map(_text, names))

    @property
    def class_names_as_given(self) -> Any:
        """The value of `class_names` in the file, unchecked; None if there is none."""
        return self.content.get("class_names")

    @property
    def class_counts(self) -> tuple[int, ...]:
        """The number of training images of each class; () unless there is one for each class."""
        counts = self.content.get("class_counts")
        if not isinstance(counts, list) or len(counts) != self.classes or not any(counts):
            return ()
        return tuple(counts) if all(type(count) is int and 0 <= count < 2**63 for count in counts) else ()

    @property
    def int8_limits(self) -> tuple[float, ...]:
        """The largest magnitude of the data of each layer, in the order of computing; () unless trained in INT8."""
        limits = self.content.get("int8_limits", [])
        if not isinstance(limits, list) or not all(is_limit(each) for each in limits):
            raise self.wrong("int8_limits", "positive numbers")
        return tuple(limits)

    @property
    def images_seen(self) -> float:
        """The number of training images, counted as often as they were shown."""
        seen = self.content.get("images_seen")
        if isinstance(seen, bool) or not isinstance(seen, (int, float)) or not 0 <= seen < 2**63:
            raise self.wrong("images_seen", "a count")
        return seen

    @property
    def data(self) -> str:
        """The name of the data set, or of the original file of a generator that gantool did not train."""
        return _text(self._required("data", "the name of a data set"))

    @property
    def gantool(self) -> str:
        """The version of gantool that wrote the metadata."""
        return _text(self.content.get("gantool", "unknown"))

    @property
    def authorship(self) -> Authorship:
        """What its author says of the generator: the texts that were given to the export."""
        known = options(Authorship)
        texts = {name: self.content[name] for name in known if name in self.content}
        for name, text in texts.items():
            if problem := "give text" if not isinstance(text, str) else known[name].problem(text):
                raise self.wrong(name, problem.removeprefix("give "))
        return Authorship(**texts)

    @property
    def training(self) -> tuple[Any, ...]:
        """The fields that differ if the weights of two files come from different trainings; unchecked."""
        return tuple(self.content.get(name) for name in ("images_seen", "data", "config"))

    def with_image(self, image: tuple[int, int, int]) -> Metadata:
        """Return a copy with another shape of an image: H, W, C."""
        return replace(self, content={**self.content, "image": list(image)})

    def with_bits(self, bits: int) -> Metadata:
        """Return a copy with other bits of a grey level."""
        others = {name: value for name, value in self.content.items() if name != "bits"}
        return replace(self, content=others if bits == 8 else {**others, "bits": bits})

    def with_config(self, config: dict[str, Any]) -> Metadata:
        """Return a copy with another network configuration."""
        return replace(self, content={**self.content, "config": config})

    def with_data(self, data: str) -> Metadata:
        """Return a copy with another name of the data set."""
        return replace(self, content={**self.content, "data": data})

    def with_authorship(self, given: Authorship) -> Metadata:
        """Return a copy with the texts that are given; the others stay."""
        return replace(self, content={**self.content, **given.to_json()})

    def check(self) -> None:
        """Raise GantoolError if a field that the runtime needs is wrong. Call it before loading a library."""
        _ = self.distribution, self.classes

    def wrong(self, name: str, expected: str) -> GantoolError:
        """Return the error for a field that is missing or not what was expected."""
        found = f"is {short(repr(self.content[name]))}" if name in self.content else "is missing"
        return _damaged(self.path, f"in its metadata, {name!r} {found}, expected {expected}")

    def _required(self, name: str, expected: str) -> Any:
        if name not in self.content:
            raise self.wrong(name, expected)
        return self.content[name]


def is_limit(value: object) -> bool:
    """Return whether a JSON value can be the largest magnitude of a layer's data: positive and finite."""
    return isinstance(value, float) and 0 < value < float("inf")


def _text(value: Any) -> str:
    """Return a JSON value as text that any file takes: half of a surrogate pair, which none does, becomes "?"."""
    return str(value).encode("utf-8", "replace").decode()


def _damaged(path: Path | None, what: str) -> GantoolError:
    return GantoolError(f"{path or 'the generator'} is damaged ({what}): copy it again, or make it again")

"""The record in a mark: what makes an image again. Without time, host and user, files stay byte-identical."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.foreign import parse_json
from gantool.runtime.process.terminal import short
from gantool.runtime.seeds import parse_seed
from gantool.runtime.spec import Latents

MAX_BYTES = 2**16  # of a record as JSON: z of 12,000 numbers takes 64,000
MAX_TEXT = 200  # letters of one text in it
MAX_TEXTS = 100  # directions
_LARGEST = float(np.finfo(np.float32).max)  # a number in it, as in z and in shares of classes
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class Record:
    """What an image is of. A sheet or a film has neither seed nor z, but `seeds`.

    `z` replaces the seed where no seed alone makes the image: truncation and direction are in it already.
    """

    graph: (
        str  # SHA-256 of the graph that the engine was built from; of the engine itself where that is unknown
    )
    engine: str  # "ONNX Runtime, CPU"
    gantool: str  # version
    precision: str | None = None  # fp32, fp16, bf16 or int8; None: unknown
    truncation: float = 1.0
    resample: float | None = None
    direction: tuple[str, ...] = ()  # as given to `--direction`
    background: str | None = None  # colour that a transparent image was laid on
    seeds: str | None = None  # of a sheet or a film
    seed: str | None = None  # a seed or a mix, as in "1+2"
    z: Latents | None = None  # float32 [latent]
    label: int | tuple[float, ...] | None = None  # a class, or the shares of all classes

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without what is as ever. What differs from image to image comes last."""
        given: dict[str, Any] = {
            "gantool": self.gantool,
            "graph": self.graph,
            "engine": self.engine,
            "precision": self.precision,
            "truncation": None if self.truncation == 1 else self.truncation,
            "truncation_resample": self.resample,
            "direction": list(self.direction) or None,
            "background": self.background,
            "seeds": self.seeds,
            "seed": self.seed,
            "z": None if self.z is None else z_text(self.z),
            "class": list(self.label) if isinstance(self.label, tuple) else self.label,
        }
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """Read a record. It may come from anyone: raises GantoolError for anything that gantool does not write."""
        if not isinstance(value, dict):
            raise _wrong("it is not an object")
        taken = _Fields(value)
        return cls(
            graph=taken.text("graph", _HASH.fullmatch),
            engine=taken.text("engine"),
            gantool=taken.text("gantool"),
            precision=taken.optional("precision", taken.text),
            truncation=1.0 if "truncation" not in value else taken.number("truncation"),
            resample=taken.optional("truncation_resample", taken.number),
            direction=taken.optional("direction", taken.texts) or (),
            background=taken.optional("background", taken.text),
            seeds=taken.optional("seeds", taken.text),
            seed=taken.optional("seed", taken.seed),
            z=taken.optional("z", taken.z),
            label=taken.optional("class", taken.label),
        )


def z_text(z: Latents) -> str:
    """Return z, float32 [latent], as a record has it: little-endian, in base64."""
    return b64encode(np.asarray(z, "<f4").tobytes()).decode()


@dataclass(frozen=True)
class _Fields:
    """The fields of a JSON object from a file, each checked as it is read."""

    value: Mapping[str, Any] = field(repr=False)

    def optional(self, name: str, read: Callable[[str], Any]) -> Any:
        return read(name) if name in self.value else None

    def text(self, name: str, fits: Callable[[str], Any] = bool) -> str:
        found = self.value.get(name)
        if not isinstance(found, str) or len(found) > MAX_TEXT or not found.isprintable() or not fits(found):
            raise self._wrong(name)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.value[name]
        if not isinstance(found, list) or len(found) > MAX_TEXTS:
            raise self._wrong(name)
        return tuple(_Fields({name: each}).text(name) for each in found)

    def number(self, name: str) -> float:
        found = self.value[name]
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not abs(found) <= _LARGEST:
            raise self._wrong(name)
        return float(found)

    def seed(self, name: str) -> str:
        text = self.text(name)
        try:
            parse_seed(text)
        except UsageError:
            raise self._wrong(name) from None
        return text

    def z(self, name: str) -> Latents:
        try:
            data = b64decode(self.value[name], validate=True)
            z = np.frombuffer(data, "<f4").astype(np.float32)
        except (TypeError, ValueError):
            raise self._wrong(name) from None
        if not z.size or not np.isfinite(z).all():
            raise self._wrong(name)
        return z

    def label(self, name: str) -> int | tuple[float, ...]:
        found = self.value[name]
        shares = found if isinstance(found, list) else [found]
        if not 0 < len(shares) <= 100_000:
            raise self._wrong(name)
        numbers = tuple(_Fields({name: each}).number(name) for each in shares)
        if isinstance(found, list):
            return numbers
        if not isinstance(found, int) or found < 0:
            raise self._wrong(name)
        return found

    def _wrong(self, name: str) -> GantoolError:
        found = f"is {short(repr(self.value[name]), 40)}" if name in self.value else "is missing"
        return _wrong(f"its {name!r} {found}")


def _wrong(why: str) -> GantoolError:
    return GantoolError(f"its mark is damaged or forged ({why})")


def parse_record(text: str) -> Record:
    """Read a record from JSON. Raises GantoolError, as `Record.from_json`."""
    if len(text) > MAX_BYTES:
        raise _wrong(f"it has {len(text):,} characters")
    try:
        value = parse_json(text)
    except ValueError:
        raise _wrong("it is not JSON") from None
    return Record.from_json(value)

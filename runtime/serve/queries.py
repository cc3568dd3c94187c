"""The parameters of each door. A parameter is one field: its type, default, help and check stand here alone."""

# No `from __future__ import annotations`: as in the options of commands.

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, Option, between, build, check_given, choose, options

T = TypeVar("T")
LONGEST = 4096  # characters of a parameter
_WORDS = {"true": True, "1": True, "": True, "false": False, "0": False}

SizeFlag = Annotated[
    int | None,
    Flag("pixels of the longer side, to show the image larger or smaller", check=between(1)),
]
SeedsFlag = Flag("seeds 0,1,4-6, ends included; mixes 1+2 and 3*0.7+9*0.3; walks 3~9")
StepsFlag = Annotated[int | None, Flag("images of each leg of a walk, ends included", check=between(2))]


def _fps(fps: float) -> str:
    return "" if 0.1 <= fps <= 60 else "give a number from 0.1 to 60"


@dataclass(frozen=True)
class Look:
    """What all images of a request have in common."""

    model: Annotated[str | None, Flag("name of the model, if the server has several")] = None
    truncation: Annotated[
        float, Flag("scale of z: below 1, images are more typical and less varied", "--trunc")
    ] = 1.0
    label: Annotated[str | None, Flag("class of a conditional generator: its name or number", "--class")] = (
        None
    )


@dataclass(frozen=True)
class ImageQuery:
    """GET /images/SEED.png"""

    look: Look = Look()
    size: SizeFlag = None


@dataclass(frozen=True)
class GridQuery:
    """GET /grid.png"""

    look: Look = Look()
    seeds: Annotated[str, SeedsFlag] = "0-63"
    steps: StepsFlag = None
    columns: Annotated[int | None, Flag("images in a row; about a square without it", check=between(1))] = (
        None
    )


@dataclass(frozen=True)
class FilmQuery:
    """GET /morph.mp4, .webp or .gif"""

    look: Look = Look()
    seeds: Annotated[str, Flag("seeds of the walk in order, as 1,5,9")] = "0-5"
    frames: Annotated[int, Flag("frames from one seed to the next", check=between(1))] = 30
    fps: Annotated[float, Flag("frames a second", check=_fps)] = 30.0
    loop: Annotated[bool, Flag("go back to the first seed at the end")] = False
    ease: Annotated[bool, Flag("slow down at each seed")] = False
    upscale: Annotated[int, Flag("enlarge by repeating each pixel N × N times", check=between(1))] = 1


@dataclass(frozen=True)
class StreamQuery:
    """GET /stream.mjpg"""

    look: Look = Look()
    seeds: Annotated[str, SeedsFlag] = "0~1~2~3~4~5~6~7~0"
    steps: StepsFlag = None
    fps: Annotated[float, Flag("frames a second", check=_fps)] = 10.0
    frames: Annotated[int | None, Flag("end after this many frames; without it, never", check=between(1))] = (
        None
    )
    size: SizeFlag = None


@dataclass(frozen=True)
class GenerateQuery:
    """POST /generate"""

    format: Annotated[
        str | None,
        Flag(
            "form of the answer, before the header Accept: {choices}",
            choices=("tar", "npy", "multipart"),
        ),
    ] = None


@dataclass(frozen=True)
class HealthQuery:
    """GET /healthz"""

    deep: Annotated[bool, Flag("make the ten golden seeds anew, and compare them")] = False


@dataclass(frozen=True)
class ModelQuery:
    """GET /page/info.json"""

    model: Annotated[str | None, Flag("name of the model, if the server has several")] = None


@dataclass(frozen=True)
class NoQuery:
    """A door without parameters."""


def parameters(cls: type) -> dict[str, Option]:
    """Return the parameters of a door by the names that they have in a URL."""
    return {url_name(option): option for option in options(cls).values()}


def url_name(option: Option) -> str:
    """Return the name of a parameter in a URL: `trunc` for --trunc."""
    return option.names[0].removeprefix("--")


def parse(cls: type[T], pairs: Iterable[tuple[str, str]]) -> T:
    """Return the parameters in the query of a URL. Raises UsageError, which names parameters as a URL does."""
    kind: type = cls
    known = parameters(kind)
    given: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            hint = choose(name, known) if known else "this address takes none"
            raise UsageError(f"{shown(name)} is not a parameter: {hint}")
        option = known[name]
        if option.name in given:
            raise UsageError(f"{name} is there twice: give it once")
        if len(text) > LONGEST:
            raise UsageError(f"{name} has {len(text):,} characters: at most {LONGEST:,} are read")
        given[option.name] = _value(name, option, text)
    check_given(given, options(kind))
    return build(cls, given)


def in_words(text: str, known: Mapping[str, Option] | None = None) -> str:
    """Return a message with its parameters, in backquotes, as a client writes them: `truncation` is trunc."""
    names = {"truncation": "trunc", "label": "class"}
    names |= {option.name: url_name(option) for option in (known or {}).values()}
    return re.sub(r"`(\w+)`", lambda match: names.get(match[1], match[1]), text)


def shown(text: str) -> str:
    """Return text of a client for a message: short, and printable."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _value(name: str, option: Option, text: str) -> Any:
    """Return a parameter as its type. Raises UsageError."""
    if option.kind is bool:
        if text.lower() not in _WORDS:
            raise UsageError(f"{name} {shown(text)}: give true or false")
        return _WORDS[text.lower()]
    if option.kind is int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise UsageError(f"{name} {shown(text)}: give a whole number")
        return int(text)
    if option.kind is float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(f"{name} {shown(text)}: give a number")
        return number
    return text

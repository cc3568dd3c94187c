"""Options that are written once: a field of a frozen dataclass, with what the command line needs beside it.

    @dataclass(frozen=True)
    class Options:
        kimg: Annotated[float, Flag("stop after this many thousand images", check=positive)] = 300.0

        def __post_init__(self) -> None:
            check(self)

Type, choices (a `Literal`) and default are the field's own. `commands.py` makes the flags, `config.py` reads the
same options from a file. Messages name a parameter in backquotes, as in `kimg`; `render` puts its flag there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from gantool.runtime.errors import UsageError

T = TypeVar("T")
Given = dict[str, Any]  # the options that were given, by the names of their fields
Check = Callable[[Any], str]  # returns what to give in place of a value, "" for a good one


class Flag(NamedTuple):  # which is made faster than a dataclass, at every start
    """What the command line says of a field. The help begins small and ends without a stop: choices may follow."""

    help: str
    names: str = ""  # "-o --out", where it is not --field-name
    group: str = "Options"  # the heading that it stands under
    shown: str = ""  # what stands for a default of None
    metavar: str = ""
    check: Check | None = None
    choices: tuple[str, ...] = ()  # of a table; those of a Literal are known
    parse: Callable[[str], Any] | None = None  # of a field that is not written as it is kept
    argument: bool = False  # has no flag: its place says what it is
    on_resume: bool = False  # a run may change it when it is resumed


class Option(NamedTuple):
    """One field: what it is by its type, and its flag, if it has one."""

    name: str
    kind: type  # of a value, or of each where there are many
    many: bool
    optional: bool  # None is a value of it
    choices: tuple[Any, ...]
    default: Any  # MISSING where it must be given
    flag: Flag | None

    @property
    def names(self) -> tuple[str, ...]:
        """The flags, the first long one first; those of an argument are empty."""
        if self.flag is None or self.flag.argument:
            return ()
        names = self.flag.names.split() or [f"--{self.name.replace('_', '-')}"]
        return tuple(sorted(names, key=lambda name: not name.startswith("--")))

    @property
    def negative(self) -> str:
        """The flag that switches it off."""
        return f"--no-{self.names[0].removeprefix('--')}"

    def problem(self, value: Any) -> str:
        """Return what to give in place of `value`; "" for a good one, as the default always is."""
        if value is None or value == self.default:
            return ""
        if self.choices and value not in self.choices:
            return choose(str(value), map(str, self.choices))
        return self.flag.check(value) if self.flag and self.flag.check else ""


@cache
def options(cls: type) -> Mapping[str, Option]:
    """Return the options of a dataclass by name, then those of dataclasses in it."""
    found: dict[str, Option] = {}
    inner: dict[str, Option] = {}
    for field in fields(cls):
        hint = _hints(cls)[field.name]
        if is_dataclass(hint):
            inner |= options(hint)  # type: ignore[arg-type]
            continue
        flag = None
        if get_origin(hint) is Annotated:
            hint, *notes = get_args(hint)
            flag = next((note for note in notes if isinstance(note, Flag)), None)
        kinds = [kind for kind in _alternatives(hint) if kind is not NoneType]
        optional, many, kind = len(kinds) < len(_alternatives(hint)), False, kinds[0]
        if get_origin(kind) is tuple:
            many, kind = True, get_args(kind)[0]
        choices: tuple[Any, ...] = flag.choices if flag else ()
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            kind = type(choices[0])
        found[field.name] = Option(field.name, kind, many, optional, choices, field.default, flag)
    return found | inner


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def check(made: object) -> None:
    """Hold the fields of a dataclass against their choices and checks; UsageError names the nearest choice."""
    cls: type = type(made)
    known = options(cls)
    check_given({field.name: getattr(made, field.name) for field in fields(made)}, known)  # type: ignore[arg-type]


def check_given(given: Mapping[str, Any], known: Mapping[str, Option]) -> None:
    """Hold values against the choices and checks of the options of their names. Raises UsageError."""
    for name, value in given.items():
        if name in known and (problem := known[name].problem(value)):
            raise UsageError(f"`{name}` {value}: {problem}")


def build(cls: type[T], given: Mapping[str, Any]) -> T:
    """Make a dataclass, and those in it, of what was given; the rest has its defaults."""
    values: Given = {}
    kind: type = cls
    for name, hint in _hints(kind).items():
        if is_dataclass(hint):
            values[name] = build(hint, given)  # type: ignore[arg-type]
        elif name in given:
            values[name] = given[name]
    return cls(**values)


def render(text: str, known: Mapping[str, Option]) -> str:
    """Put flags in the place of the parameters that a message names, as `kimg` or `autotune=False`."""

    def flag(match: re.Match[str]) -> str:
        option = known.get(match[1])
        if option is None:
            return match[0]
        if not option.names:
            return match[1] + (match[2] or "")
        return option.negative if match[2] else option.names[0]

    return re.sub(r"`(\w+)(=False)?`", flag, text)


def choose(value: str, known: Iterable[str]) -> str:
    """Return what to give in place of an unknown value: the nearest, and all."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(value.lower(), names, 1)
    between = " or " if any("," in name for name in names) else ", "
    return f"{f'did you mean {near[0]}? ' if near else ''}choose {between.join(names)}"


def positive(value: float) -> str:
    """Check for a finite number over 0."""
    return "" if 0 < value < math.inf else "give a number over 0"


def nonnegative(value: float) -> str:
    """Check for a finite number from 0."""
    return "" if 0 <= value < math.inf else "give 0 or more"


def between(low: int, high: int | None = None) -> Check:
    """Return a check for whole numbers in a range, ends included."""

    def problem(value: int) -> str:
        if low <= value and (high is None or value <= high):
            return ""
        return f"give a whole number from {low}" + ("" if high is None else f" to {high}")

    return problem


def one_of(known: Sequence[int]) -> Check:
    """Return a check for a few numbers."""
    return lambda value: "" if value in known else f"choose {', '.join(map(str, known))}"


__all__ = [
    "MISSING",
    "Flag",
    "Given",
    "Option",
    "between",
    "build",
    "check",
    "check_given",
    "choose",
    "nonnegative",
    "one_of",
    "options",
    "positive",
    "render",
]

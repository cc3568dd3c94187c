"""Options that are defined once: as a field of a frozen dataclass, annotated with its flag.

    @dataclass(frozen=True)
    class Options:
        kimg: Annotated[float, Flag("stop after this many thousand images", check=positive)] = 300.0

        def __post_init__(self) -> None:
            check(self)

Type, choices (a `Literal`) and default come from the field. `commands.py` makes the flags, `config.py` reads the
same options from a file. Messages name a parameter in backquotes, as in `kimg`; `render` replaces it by its flag.
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
from gantool.runtime.process.terminal import short

T = TypeVar("T")
Given = dict[str, Any]  # field name -> value, only for the options that the user gave
Check = Callable[[Any], str]  # returns advice for a wrong value, "" for a good one


class Flag(NamedTuple):  # not a dataclass: every start creates these, and a NamedTuple is created faster
    """The flag of a field. The help text begins in lower case and ends without a full stop: choices may follow."""

    help: str
    names: str = ""  # "-o --out"; "": --field-name
    group: str = "Options"  # heading in the help
    shown: str = ""  # shown as the default if that is None
    metavar: str = ""
    check: Check | None = None
    choices: tuple[str, ...] = ()  # if the type is not a Literal
    parse: Callable[[Any], Any] | None = None  # text, or a value in a file of options -> value of the field
    argument: bool = False  # positional: without a flag
    on_resume: bool = False  # may be changed when a run is resumed


class Option(NamedTuple):
    """One field: its type, and its flag if it has one."""

    name: str
    kind: type  # of the value, or of each item if `many`
    many: bool  # the value is a tuple
    optional: bool  # None is allowed
    choices: tuple[Any, ...]
    default: Any  # MISSING if the option is required
    flag: Flag | None

    @property
    def names(self) -> tuple[str, ...]:
        """The flags, long ones first; () for an argument."""
        if self.flag is None or self.flag.argument:
            return ()
        names = self.flag.names.split() or [f"--{self.name.replace('_', '-')}"]
        return tuple(sorted(names, key=lambda name: not name.startswith("--")))

    @property
    def negative(self) -> str:
        """The flag that switches the option off."""
        return f"--no-{self.names[0].removeprefix('--')}"

    def problem(self, value: Any) -> str:
        """Return advice for a wrong `value`, "" for a good one. The default is always good."""
        if value is None or value == self.default:
            return ""
        if self.choices and value not in self.choices:
            return choose(str(value), map(str, self.choices))
        return self.flag.check(value) if self.flag and self.flag.check else ""


@cache
def options(cls: type) -> Mapping[str, Option]:
    """Return the options of a dataclass by name, followed by those of nested dataclasses."""
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
    """Check the fields of a dataclass. Raises UsageError, which names the nearest choice."""
    cls: type = type(made)
    known = options(cls)
    check_given({field.name: getattr(made, field.name) for field in fields(made)}, known)  # type: ignore[arg-type]


def check_given(given: Mapping[str, Any], known: Mapping[str, Option]) -> None:
    """Check values by option name; ignore other names. Raises UsageError."""
    for name, value in given.items():
        if name in known and (problem := known[name].problem(value)):
            shown = (
                f"{value:g}"
                if isinstance(value, float)
                else short(value)
                if isinstance(value, str)
                else value
            )
            raise UsageError(f"`{name}` {shown}: {problem}")


def build(cls: type[T], given: Mapping[str, Any]) -> T:
    """Make a dataclass, with its nested ones, from the given options and defaults."""
    values: Given = {}
    kind: type = cls
    for name, hint in _hints(kind).items():
        if is_dataclass(hint):
            values[name] = build(hint, given)  # type: ignore[arg-type]
        elif name in given:
            values[name] = given[name]
    return cls(**values)


def render(text: str, known: Mapping[str, Option]) -> str:
    """Replace the parameters in backquotes in a message, as `kimg` or `autotune=False`, by their flags.

    A hint in parentheses that begins with a parameter stays only where the command has it.
    """

    def hint(match: re.Match[str]) -> str:
        return match[0] if match[1] in known else ""

    def flag(match: re.Match[str]) -> str:
        option = known.get(match[1])
        if option is None:
            return match[0]
        if not option.names:
            return match[1] + (match[2] or "")
        return option.negative if match[2] else option.names[0]

    return re.sub(r"`(\w+)(=False)?`", flag, re.sub(r" \(`(\w+)`[^()]*\)", hint, text))


def choose(value: str, known: Iterable[str]) -> str:
    """Return advice for an unknown value: the nearest choice, and all choices."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(value.lower(), names, 1)
    between = " or " if any("," in name for name in names) else ", "
    return f"{f'did you mean {near[0]}? ' if near else ''}choose {between.join(names)}"


def positive(value: float) -> str:
    """Check that a number is finite and over 0."""
    return "" if 0 < value < math.inf else "give a number over 0"


def nonnegative(value: float) -> str:
    """Check that a number is finite and not negative."""
    return "" if 0 <= value < math.inf else "give 0 or more"


def between(low: int, high: int | None = None) -> Check:
    """Return a check that a whole number is in a range, ends included."""

    def problem(value: int) -> str:
        if low <= value and (high is None or value <= high):
            return ""
        return f"give a whole number from {low}" + ("" if high is None else f" to {high}")

    return problem


def whole_numbers(name: str, most: int) -> Callable[[Any], list[int]]:
    """Return the parser of option `name`, a list of whole numbers from 1, as 1,8,32. It raises UsageError."""

    def parse(text: Any) -> list[int]:
        parts = str(text).split(",")
        short_enough = all(
            part.isascii() and part.isdecimal() and len(part) <= len(str(most)) for part in parts
        )
        if not short_enough or not all(0 < int(part) <= most for part in parts):
            raise UsageError(f"`{name}` {text}: write whole numbers from 1 to {most}, as in 1,8,32")
        return [int(part) for part in parts]

    return parse


def letters(most: int) -> Check:
    """Return a check that a text is not blank, can be printed in a line, and is not too long."""

    def problem(text: str) -> str:
        good = text.strip() and text.isprintable() and len(text) <= most
        return "" if good else f"give 1 to {most:,} printable letters"

    return problem


def one_of(known: Sequence[int]) -> Check:
    """Return a check that a number is one of a few."""
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
    "letters",
    "nonnegative",
    "one_of",
    "options",
    "positive",
    "render",
    "whole_numbers",
]

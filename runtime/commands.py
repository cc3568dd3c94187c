"""Make a Typer command from a function and from the dataclasses whose fields are its flags.

The help groups the flags, and shows the defaults of a bare run: those of the fields, or of the preset on the line.
"""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import MISSING, Flag, Given, Option, build, options

COMPLETION = "_GANTOOL_COMPLETE"  # environment variable that the shell sets to complete a line
CONFIG = "config"  # the option with the path of a file of options
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_METAVARS: dict[type, str] = {int: "N", float: "X", str: "NAME", Path: "PATH"}
_ARGUMENTS = "Arguments"
CHOICES = "{choices}"  # marks the place of the choices in a help text; without it, they go to its end


@dataclass(frozen=True)
class Verbosity:
    """The flags of every command: how much it logs. Results are always printed."""

    quiet: Annotated[bool, Flag("print only results, warnings and errors", "--quiet -q", group="")] = False
    verbose: Annotated[bool, Flag("also print debug messages", "--verbose -v", group="")] = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UsageError("`quiet` and `verbose` contradict each other: give one of them")


class Command(NamedTuple):
    """A command of the table in __main__."""

    run: Callable[..., None]  # takes a Given
    options: tuple[type, ...]  # dataclasses whose fields are the flags
    groups: tuple[str, ...] = ()  # headings of the help in order; further groups follow
    bare: Callable[[Given], Given] | None = None  # given options -> the value of each option, for the help
    hidden: Collection[str] = ()  # options that are not flags of this command

    @property
    def known(self) -> dict[str, Option]:
        """All options by name, including those without a flag."""
        return {name: option for cls in (*self.options, Verbosity) for name, option in options(cls).items()}

    @property
    def flags(self) -> list[Option]:
        """The options of the command line."""
        return [option for option in self.known.values() if option.flag and option.name not in self.hidden]

    def read(self, given: Given) -> Given:
        """Return the given options, plus those in the file of --config that were not given."""
        if CONFIG not in given:
            return given
        from gantool.runtime.config import read_config

        known = {name: each for cls in self.options for name, each in options(cls).items() if name != CONFIG}
        return {**read_config(given[CONFIG], known), **given}


def to_typer(name: str, summary: str, command: Command) -> TyperCommand:
    """Return the Typer command."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, help=summary, cls=_Grouped, context_settings=SETTINGS)(_function(command))
    made = typer.main.get_command(app)
    assert isinstance(made, _Grouped)
    made.of = command
    return made


def _function(command: Command) -> Callable[..., None]:
    """Return a function with the signature that Typer turns into flags; None means that a flag was not given."""
    known = command.known

    def call(**values: Any) -> None:
        given: Given = {}
        for name, value in values.items():
            if value is None or value == []:
                continue
            option = known[name]
            assert option.flag is not None
            parsed = option.flag.parse(value) if option.flag.parse else value
            given[name] = tuple(parsed) if option.many else parsed
        gc.enable()  # main disabled it, to start faster
        from gantool.runtime.log import shown

        with shown(build(Verbosity, given), known):
            command.run(command.read(given))

    negatable = CONFIG in known
    parameters = [_parameter(option, negatable) for option in command.flags]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _parameter(option: Option, negatable: bool) -> inspect.Parameter:
    flag = option.flag
    assert flag is not None
    kind: Any = str if flag.parse else list[option.kind] if option.many else option.kind  # type: ignore[name-defined]
    keywords: dict[str, Any] = {
        "help": flag.help,
        "metavar": _metavar(option) or None,
        "show_default": False,
        "autocompletion": _completion(option) if option.choices and COMPLETION in os.environ else None,
    }
    required = flag.argument and option.default is MISSING
    info = (
        typer.Argument(**keywords)
        if flag.argument
        else typer.Option(*_declared(option, negatable), **keywords)
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, info],
    )


def _declared(option: Option, negatable: bool) -> list[str]:
    """Return the flags for Typer, with a --no- flag where the default or a file of options may be True."""
    names = list(option.names)
    assert option.flag is not None
    if option.kind is bool and ((negatable and option.flag.group) or option.default is True):
        names[0] = f"{names[0]}/{option.negative}"
    return names


def _completion(option: Option) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [str(each) for each in option.choices if str(each).startswith(incomplete)]

    return complete


def _metavar(option: Option) -> str:
    assert option.flag is not None
    if option.flag.metavar or option.kind is bool:
        return option.flag.metavar
    return option.name.upper() if option.flag.argument else _METAVARS[option.kind]


class _Grouped(TyperCommand):
    """A command whose help has a heading for each group of options."""

    of: Command
    _arguments: Sequence[str] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        self._arguments = list(args)  # for --help, which Typer handles before it parses the other flags
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if (name := getattr(error, "option_name", None)) is None or not hasattr(error, "possibilities"):
                raise
            known = [name for option in self.of.flags for name in option.names if name.startswith("--")]
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"{name} is not an option: {hint}{ctx.command_path} --help lists all") from error

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups = sections(self.of, self.of.bare(self._given(ctx)) if self.of.bare else {})
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def _given(self, ctx: Any) -> Given:
        """Return what other defaults depend on, from the line of --help: preset, loss and file of options."""
        found, _, _ = self.make_parser(ctx).parse_args(args=list(self._arguments))
        given: Given = {}
        for name in ("preset", "loss"):
            if found.get(name):
                given[name] = found[name]
        if found.get(CONFIG):
            given[CONFIG] = Path(found[CONFIG])
        return self.of.read(given)


def sections(command: Command, values: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the rows of the help by heading. `values` are the defaults that are not those of the fields."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in (_ARGUMENTS, *command.groups)}
    of_all: list[tuple[str, str]] = []  # the flags of every command
    for option in command.flags:
        assert option.flag is not None
        title = _ARGUMENTS if option.flag.argument else option.flag.group
        (groups.setdefault(title, []) if title else of_all).append(row(option, values))
    last = next(reversed(groups))
    groups[last] += [*of_all, ("-h, --help", "show this message and exit")]
    return {title: rows for title, rows in groups.items() if rows}


def row(option: Option, values: Mapping[str, Any]) -> tuple[str, str]:
    """Return the two columns of an option in the help: its flags, and its text with choices and default."""
    assert option.flag is not None
    default = values.get(option.name, None if option.default is MISSING else option.default)
    own = "" if option.name in values else option.flag.shown
    short = sorted(option.names, key=len)
    if option.kind is bool and default is True:
        short.append(option.negative)
    left = ", ".join(short) if short else _metavar(option)
    if short and option.kind is not bool:
        left += f" {_metavar(option)}"
    text = option.flag.help
    if option.choices:
        *others, final = map(str, option.choices)
        listed = f"{(' or ' if ',' in final else ', ').join(others)} or {final}" if others else final
        text = text.replace(CHOICES, listed) if CHOICES in text else f"{text}: {listed}"
    shown = own or _text(default) or option.flag.shown
    return left, text + (f"  [default: {shown}]" if shown else "")


def _text(value: Any) -> str:
    if value is None or value is False or value == ():
        return ""
    if value is True:
        return "on"
    if type(value) is tuple:
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

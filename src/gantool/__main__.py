"""`gantool` and `python -m gantool`: the table of commands, and what an error or a signal comes to.

Only the module of the command that is asked for is imported, so `--help` loads nothing heavy.
"""

from __future__ import annotations

import gc

gc.disable()  # what is imported is no garbage: to look through it takes a tenth of a start

# ruff: noqa: E402
import atexit
import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

try:
    import typer
    from typer.core import TyperCommand, TyperGroup

    from gantool.runtime.commands import COMPLETION, SETTINGS, Command, to_typer
    from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
    from gantool.runtime.flags import Option, choose, render
    from gantool.runtime.process.signals import ending_signals
    from gantool.runtime.process.terminal import guarded
except KeyboardInterrupt:  # before there are handlers of signals
    os.write(2, b"gantool: interrupted\n")
    sys.exit(130)

if TYPE_CHECKING:
    from gantool.runtime.spec import Images

gc.enable()

# Each command: the module that has a function of its name, and what it does in a line.
COMMANDS = {
    "train": ("gantool.train.cli", "Train a generator: images -> runs/00000-.../generator.safetensors."),
    "evaluate": (
        "gantool.train.cli",
        "Score images: distances, precision and recall, diversity, near-copies of training images.",
    ),
    "plot": (
        "gantool.train.cli",
        "Draw the curves of a run and its samples over time: one HTML file, or one PNG.",
    ),
    "data": (
        "gantool.train.cli",
        "Make a clean data set: checked, cropped, resized, no duplicates, labelled; with a contact sheet.",
    ),
    "export": ("gantool.export.cli", "Export a generator: checkpoint -> g.onnx, g.fp16.onnx, g.plan."),
    "inspect": (
        "gantool.export.cli",
        "Describe a file: version, sizes, layers, precisions, without loading it and without a GPU.",
    ),
    "verify": (
        "gantool.export.cli",
        "Run the same seeds through files and compare the images; exit 3 if they disagree.",
    ),
    "doctor": (
        "gantool.export.cli",
        "List what this machine has, what starts on it, and which files of a folder can run here.",
    ),
    "refit": ("gantool.export.cli", "Put the weights of a graph into a plan without them, on the device."),
    "generate": ("gantool.runtime.cli", "Generate images from an engine: seeds -> images/seed0000.png ..."),
    "bench": (
        "gantool.runtime.cli",
        "Measure engines side by side: rate, latency, start-up, memory, and on a Jetson power.",
    ),
    "cache": (
        "gantool.runtime.cli",
        "Show what gantool keeps to be quick the next time, and its size; --clear removes it.",
    ),
}

INTERRUPTED = 130


def main() -> None:
    """Run the command line as a process of its own; exit with the code of the error tree."""
    from gantool.runtime.process import interrupt

    gc.disable()  # until the command runs
    for number in ending_signals():
        signal.signal(number, _stop)
    interrupt.watch()
    # Python looks through all objects once more when it ends: a tenth of a short run.
    atexit.register(gc.freeze)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code.

    What nobody expected is a line and a file with the details, or is raised where GANTOOL_DEBUG is set.
    """
    with guarded():
        try:
            # a shell variable that is not set; as a path it would mean this folder
            if any(not word or (word.startswith("--") and word.endswith("=")) for word in arguments):
                raise UsageError("an argument is empty: is a variable of the shell not set?")
            if arguments[:1] and arguments[0] in COMMANDS and COMPLETION not in os.environ:
                _command(arguments[0])(arguments[1:], prog_name=f"gantool {arguments[0]}")
            else:
                _table(arguments)(arguments, prog_name="gantool")
            code = 0
        except SystemExit as end:  # of typer, also after Ctrl-C, of which it says nothing
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            # a library whose import or run a signal broke off raises anything
            code = INTERRUPTED if _received else _answer(error, arguments)
        if code == INTERRUPTED:
            typer.echo("gantool: interrupted", err=True)
        return code


def _answer(error: Exception, arguments: list[str]) -> int:
    """Print what an error means; return the exit code."""
    code = error.exit_code if isinstance(error, GantoolError) else GantoolError.exit_code
    match error:
        case GantoolError():
            text = render(str(error), _options_of(arguments))
        case ModuleNotFoundError() if (name := (error.name or "").partition(".")[0]) in _EXTRAS:
            # of a part of a command that does without it elsewhere
            missing = MissingDependencyError(name, _EXTRAS[name], f"gantool {arguments[0]}")
            text, code = str(missing), missing.exit_code
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            hint = _HINTS.get(error.errno or 0, "check the path and run it again")
            text = f"{error.strerror or error}{where}: {hint}"
        case MemoryError():
            text = f"out of memory ({error}): use a smaller --batch or --width"
        case _:
            if "GANTOOL_DEBUG" in os.environ:
                raise error
            from gantool.runtime.process.terminal import reason_of
            from gantool.runtime.process.unexpected import write_report

            text = (
                f"an unexpected error: {reason_of(error, 300)}; details in {write_report(error, arguments)}; "
            )
            text += "please report it with that file"
    typer.echo(f"gantool: {text}", err=True)
    return code


def _table(arguments: list[str]) -> TyperGroup:
    """Return all commands as one; the flags of completion are made only where they can be asked for."""
    completes = bool(arguments and arguments[0].endswith("-completion")) or COMPLETION in os.environ
    app = typer.Typer(
        name="gantool",
        cls=_Table,
        no_args_is_help=True,
        add_completion=completes,
        rich_markup_mode=None,
        context_settings=SETTINGS,
        epilog="For tab completion: gantool --install-completion",
    )
    app.callback()(gantool)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


class _Table(TyperGroup):
    """The commands by name; each is imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002
        return _command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UsageError(f"{args[0]} is not a command: {choose(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _command(name: str) -> TyperCommand:
    return to_typer(name, COMMANDS[name][1], _load(name))


@cache
def _load(name: str) -> Command:
    """Import a command. Only here do the rooms of training and of export meet."""
    command: Command = getattr(import_module(COMMANDS[name][0]), name)()
    return (
        command._replace(run=partial(command.run, distance_to=_distance_to)) if name == "export" else command
    )


def _distance_to(data: str, features: str) -> Callable[[Images], float]:
    try:
        from gantool.train.metrics.distance import distance_to
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool export --data") from error
    return distance_to(data, features)


def _options_of(arguments: list[str]) -> Mapping[str, Option]:
    """Return the options of the command that was asked for, whose flags messages name."""
    return _load(arguments[0]).known if arguments and arguments[0] in COMMANDS else {}


_received: list[int] = []  # signals


_EXTRAS = {
    **dict.fromkeys(("torch", "safetensors", "onnx", "onnx_ir", "onnxscript"), "export"),
    "onnxruntime": "cpu",
}
_HINTS = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some space and run it again",
    errno.EFBIG: "the limit on the size of files is too low",
    errno.EEXIST: "a file is in the way; choose another folder",
    errno.ENOTDIR: "a file is in the way; choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that can be written to",
}


def _stop(number: int, frame: object) -> None:  # noqa: ARG001
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that nothing half-written stays behind."""
    _received.append(number)
    raise KeyboardInterrupt


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"gantool {version('gantool')}")
        raise typer.Exit


def gantool(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train a GAN on your images, export its generator to an engine, generate images without PyTorch."""


if __name__ == "__main__":
    main()

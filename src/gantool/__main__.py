"""`gantool` and `python -m gantool`: the table of commands, exit codes and signal handling.

It imports only the module of the command that runs, so that `--help` is fast.
"""

from __future__ import annotations

import gc

gc.disable()  # importing creates no garbage, and the collector takes a tenth of the start-up time

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
except KeyboardInterrupt:  # the signal handlers are not installed yet
    os.write(2, b"gantool: interrupted\n")
    sys.exit(130)

if TYPE_CHECKING:
    from pathlib import Path

    from gantool.runtime.spec import Images

gc.enable()

# command -> (module with a function of that name, help text)
COMMANDS = {
    "train": ("gantool.train.cli", "Train a generator: images -> runs/00000-.../generator.safetensors."),
    "distill": (
        "gantool.train.cli",
        "Train a small student to make the images of a large generator: checkpoint, graph or plan -> a run.",
    ),
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
        "Describe a file: version, sizes, layers, precisions, without a GPU.",
    ),
    "verify": (
        "gantool.export.cli",
        "Run the same seeds through files and compare the images; exit 3 if they disagree.",
    ),
    "doctor": (
        "gantool.export.cli",
        "List GPU, libraries and providers of this machine, and the files in a folder that can run here.",
    ),
    "refit": ("gantool.export.cli", "Put the weights of a graph into a plan without weights, on the device."),
    "generate": ("gantool.runtime.cli", "Generate images from an engine: seeds -> images/seed0000.png ..."),
    "morph": (
        "gantool.runtime.cli",
        "Write a film of a walk through the latent space: .mp4, .webm, .gif, .webp, .png.",
    ),
    "serve": (
        "gantool.runtime.cli",
        "Serve images over HTTP: a page to look at, image addresses, KServe v2, a camera stream.",
    ),
    "authenticate": (
        "gantool.runtime.cli",
        "Make images again from their marks, and say which are as the generator made them; exit 3 if one is not.",
    ),
    "directions": (
        "gantool.export.cli",
        "Find directions in the latent space along which images change: directions.npz and a sheet.",
    ),
    "project": (
        "gantool.train.cli",
        "Find the latent vectors whose images are nearest to given pictures.",
    ),
    "bench": (
        "gantool.runtime.cli",
        "Measure engines side by side: rate, latency, start-up, memory, energy.",
    ),
    "tune": (
        "gantool.export.cli",
        "Find the best images within a budget of time, size or energy, by measurement on this machine.",
    ),
    "cache": (
        "gantool.runtime.cli",
        "List the files in gantool's cache and their sizes; --clear removes them.",
    ),
}

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit the process; runtime/errors.py has the exit codes."""
    from gantool.runtime.process import interrupt

    gc.disable()  # the command enables it again
    for number in ending_signals():
        signal.signal(number, _stop)
    interrupt.watch()
    # otherwise, Python's last garbage collection at exit takes a tenth of a short run
    atexit.register(gc.freeze)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code.

    For an unexpected error, print a line and write the details to a file; with GANTOOL_DEBUG set, raise it.
    """
    with guarded():
        try:
            # an unset shell variable; as a path, "" would mean the current folder
            if any(not word or (word.startswith("--") and word.endswith("=")) for word in arguments):
                raise UsageError("an argument is empty: is a shell variable not set?")
            if arguments[:1] and arguments[0] in COMMANDS and COMPLETION not in os.environ:
                _command(arguments[0])(arguments[1:], prog_name=f"gantool {arguments[0]}")
            else:
                _table(arguments)(arguments, prog_name="gantool")
            code = 0
        except SystemExit as end:  # Typer raises it, also after Ctrl-C, for which it prints nothing
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            # a library that a signal interrupted can raise any error
            code = INTERRUPTED if _received else _answer(error, arguments)
        if code == INTERRUPTED:
            typer.echo("gantool: interrupted", err=True)
        return code


def _answer(error: Exception, arguments: list[str]) -> int:
    """Print an error in one line; return the exit code."""
    code = error.exit_code if isinstance(error, GantoolError) else GantoolError.exit_code
    match error:
        case GantoolError():
            text = render(str(error), _options_of(arguments))
        case ModuleNotFoundError() if (name := (error.name or "").partition(".")[0]) in _EXTRAS:
            # a package that only a part of the command needs
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
    """Return the group of all commands, with the flags for completion only if `arguments` may contain them."""
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
    """The group of commands, which imports a command when it is used."""

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
    return to_typer(name, COMMANDS[name][1], load(name))


@cache
def load(name: str) -> Command:
    """Import a command of the table. Only this function connects training and export."""
    command: Command = getattr(import_module(COMMANDS[name][0]), name)()
    return (
        command._replace(run=partial(command.run, distance_to=_distance_to))
        if name in ("export", "tune")
        else command
    )


def _distance_to(data: str, features: str, source: Path | None) -> Callable[[Images], float]:
    try:
        from gantool.train.metrics.distance import distance_to
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            error.name or "torch", "train", "measuring a distance to `data`"
        ) from error
    return distance_to(data, features, source)


def _options_of(arguments: list[str]) -> Mapping[str, Option]:
    """Return the options of the command in `arguments`, whose flags appear in messages."""
    return load(arguments[0]).known if arguments and arguments[0] in COMMANDS else {}


_received: list[int] = []  # signals
# package -> extra
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
    errno.EACCES: "check who may read and write there",
    errno.EPERM: "check who may read and write there",
    errno.EROFS: "choose a folder that can be written to",
}


def _stop(number: int, frame: object) -> None:  # noqa: ARG001
    """Handle SIGTERM and SIGHUP like Ctrl-C, so that no half-written file stays behind."""
    _received.append(number)
    raise KeyboardInterrupt


def _version(value: bool) -> None:
    if value:
        from gantool import __version__

        typer.echo(f"gantool {__version__}")
        raise typer.Exit


def gantool(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train a GAN on your images, export its generator to an engine, generate images without PyTorch."""


if __name__ == "__main__":
    main()

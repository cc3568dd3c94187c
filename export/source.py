"""Tell the kind of source of an export, by its bytes and not its name, before torch or onnx is imported."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from gantool.export.options import Foreign
from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.errors import GantoolError, UsageError

Origin = Literal["checkpoint", "pytorch-dcgan", "function", "graph", "bundle"]

RUNS = Path("runs")
EXPECTED = "the generator.safetensors of a run, an ONNX graph or a bundle"
EXPECTED_WEIGHTS = "weights, .pth or .safetensors"
_OF_KIND: dict[str, Origin] = {
    "checkpoint": "checkpoint",
    "run": "checkpoint",
    "onnx": "graph",
    "bundle": "bundle",
}


def origin_of(source: Path | None, foreign: Foreign) -> Origin:
    """Return the kind of source. Raises GantoolError if `source` and the flags of --from do not go together."""
    if foreign.origin is not None:
        return _origin_elsewhere(source, foreign)
    if foreign.weights is not None:
        raise UsageError(
            "`weights` needs `origin` package.module:function: add `origin`, or leave out `weights`"
        )
    origin: Origin | None = "checkpoint" if source is None else _OF_KIND.get((kind := kind_of(source)).name)
    if source is None and not any(RUNS.glob("*/generator.safetensors")):
        raise GantoolError(
            f"no run with a checkpoint in {RUNS}/: train one with `gantool train`, or name a file"
        )
    if origin is None and source is not None:
        if kind.name == "missing" and not source.exists():
            raise GantoolError(f"{source} does not exist; expected {EXPECTED}, or train one: gantool train")
        raise GantoolError(wrong(source, EXPECTED, kind))
    assert origin is not None
    if origin == "checkpoint" and foreign != Foreign():
        raise UsageError(
            "`latent`, `classes`, `distribution`, `values` and `clamp` are for generators from elsewhere, not for "
            "a checkpoint of gantool: leave them out, or add `origin` for a PyTorch module"
        )
    return origin


def _origin_elsewhere(source: Path | None, foreign: Foreign) -> Origin:
    origin = foreign.origin or ""
    if source is not None and kind_of(source).name == "onnx":
        raise UsageError(
            f"`origin` is for PyTorch, and {source} is an ONNX graph already: leave out `origin`"
        )
    if origin == "pytorch-dcgan":
        if source is None or foreign.weights or foreign.latent or foreign.classes:
            raise UsageError(
                "`origin` pytorch-dcgan takes one file and reads all sizes from it: leave out `weights`, `latent` "
                "and `classes`, as in gantool export --from pytorch-dcgan netG.pth"
            )
        _check_weights(source)
        return "pytorch-dcgan"
    name, _, function = origin.partition(":")
    if not name or not function:
        file = name.endswith(".py")
        raise UsageError(
            f"`origin` {origin}: give pytorch-dcgan or package.module:function"
            + (f", as in `origin` {Path(name).stem}:{function or 'make'}" if file else "")
        )
    if name.endswith(".py"):
        written = ".".join(Path(name).with_suffix("").parts)
        raise UsageError(f"`origin` {origin} names a file, expected a module: write {written}:{function}")
    if source is not None:
        raise UsageError(f"`origin` {origin} makes the generator: give its weights as `weights` {source}")
    if foreign.latent is None:
        raise UsageError(f"`origin` {origin} needs the size of z: add `latent`, as in `latent` 128")
    if foreign.weights is not None:
        _check_weights(foreign.weights)
    top = name.partition(".")[0]
    try:
        with this_folder_first():
            there = importlib.util.find_spec(top)
    except (ValueError, ImportError):  # an invalid module name, or a module that is partly imported
        there = None
    if there is None:
        raise GantoolError(
            f"`origin` {origin}: Python finds no module {top}: run this in the folder of {top}.py, or install it"
        )
    return "function"


def _check_weights(argument: Path) -> None:
    path, _ = split_key(argument)
    kind = kind_of(path)
    if kind.name == "missing":
        raise GantoolError(f"there is no file {path}; expected {EXPECTED_WEIGHTS}")
    if kind.name not in ("torch", "safetensors", "checkpoint"):
        raise GantoolError(wrong(path, EXPECTED_WEIGHTS, kind))


def split_key(argument: Path) -> tuple[Path, str | None]:
    """Split FILE:KEY into file and key. An existing file with the whole name takes precedence."""
    parts = str(argument).split(":")
    for count in range(len(parts) - 1, 0, -1):  # a key may contain colons
        file, key = ":".join(parts[:count]), ":".join(parts[count:])
        if file and key and not argument.exists() and (Path(file).exists() or count == 1):
            return Path(file), key
    return argument, None


@contextmanager
def this_folder_first() -> Iterator[None]:
    """Put the current folder first in sys.path, as `python -m` does; afterwards last.

    Last, the user's module still finds its own late imports, and no file there shadows a library.
    """
    folder, paths = str(Path.cwd()), list(sys.path)
    sys.path[:] = [folder, *(path for path in paths if path not in ("", folder))]
    try:
        yield
    finally:
        sys.path[:] = paths if {"", folder} & set(paths) else [*paths, folder]

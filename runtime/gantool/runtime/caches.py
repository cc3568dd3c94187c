"""`gantool cache`: what gantool keeps to be quick the next time, how large it is, and how to empty it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import UsageError

# The names in the cache folder, and what each kind costs to make again.
KINDS = {
    "data": (("fashion-mnist", "images"), "data sets, fetched and decoded"),
    "features": (("features",), "classifiers that evaluate compares images by"),
    "speed": (("speed.json",), "the fastest way to train, measured on this machine"),
    "kernels": (("tensorrt-rtx",), "kernels that TensorRT-RTX compiled for this GPU"),
    "errors": (("errors",), "details of unexpected errors"),
}


@dataclass(frozen=True)
class Kept:
    """What is kept of one kind."""

    kind: str
    what: str
    files: int
    bytes: int


def cache(kind: str | None, clear: bool, as_json: bool) -> None:
    """Print what is kept, of one kind or of all; with `clear` remove it. Raises UsageError for an unknown kind."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"cache {kind} is unknown: choose {', '.join(KINDS)}")
    folder = cache_dir()
    kept = [_kept(folder, name) for name in (KINDS if kind is None else [kind])]
    if clear:
        for one in kept:
            for name in KINDS[one.kind][0]:
                _remove(folder / name)
    total = sum(one.bytes for one in kept)
    if as_json:
        rows = [asdict(one) for one in kept]
        typer.echo(json.dumps({"folder": str(folder), "cleared": clear, "kept": rows}, indent=2))
        return
    typer.echo(f"{folder}{', removed:' if clear else ''}")
    for one in kept:
        typer.echo(f"  {one.kind:<9} {_size(one.bytes):>10} {one.files:>6,} files  {one.what}")
    if not clear and total:
        typer.echo(
            f"all of it can be made again; to remove it:\n  gantool cache --clear{f' {kind}' if kind else ''}"
        )


def _kept(folder: Path, kind: str) -> Kept:
    names, what = KINDS[kind]
    sizes = [size for name in names for size in _sizes(folder / name)]
    return Kept(kind, what, len(sizes), sum(sizes))


def _sizes(path: Path) -> list[int]:
    """Return the size of each file at or below `path`; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        files = [Path(root) / name for root, _, names in os.walk(path) for name in names]
        return [file.lstat().st_size for file in files]
    return [path.lstat().st_size] if os.path.lexists(path) else []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"

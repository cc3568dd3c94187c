"""`gantool cache`: what gantool keeps to be faster the next time, its size, and how to clear it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import UsageError

_HASH = "[0-9a-f]" * 32
# The patterns of gantool's own files, since others may share the cache folder, and what each kind is.
KINDS = {
    "data": (("fashion-mnist/*-ubyte*", f"images/{_HASH}*"), "data sets, fetched and decoded"),
    "features": (("features/classifier-*",), "classifiers that evaluate compares images by"),
    "speed": (("speed.json",), "the fastest way to train, measured on this machine"),
    "kernels": (("tensorrt-rtx/*.cache",), "kernels that TensorRT-RTX compiled for this GPU"),
    "graphs": ((f"graphs/{_HASH}",), "which graphs ONNX Runtime and OpenVINO run here, and how"),
    "errors": (("errors/error-*",), "details of unexpected errors"),
}


@dataclass(frozen=True)
class Kept:
    """The cached files of one kind."""

    kind: str
    what: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Cache:
    """What is cached, of one kind or all; with `cleared`, what was."""

    folder: Path
    cleared: bool
    kept: tuple[Kept, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `gantool cache --json` prints."""
        return {**asdict(self), "folder": str(self.folder)}

    def text(self) -> str:
        """Return a table."""
        lines = [f"{self.folder}{', removed:' if self.cleared else ''}"]
        lines += [
            f"  {one.kind:<9} {_size(one.bytes):>10} {one.files:>6,} files  {one.what}" for one in self.kept
        ]
        if not self.cleared and any(one.bytes for one in self.kept):
            of = f" {self.kept[0].kind}" if len(self.kept) == 1 else ""
            lines.append(f"all of it can be made again; to remove it:\n  gantool cache --clear{of}")
        return "\n".join(lines)


def cache(kind: str | None = None, clear: bool = False) -> Cache:
    """Return what is cached, of one kind or all; with `clear` remove it. Raises UsageError for an unknown kind."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"cache {kind} is unknown: choose {', '.join(KINDS)}")
    folder = cache_dir()
    kept = tuple(_kept(folder, name) for name in (KINDS if kind is None else [kind]))
    if clear:
        for one in kept:
            for file in _files(folder, one.kind):
                file.unlink(missing_ok=True)
                if file.parent != folder:
                    with suppress(OSError):  # it is not empty
                        file.parent.rmdir()
    return Cache(folder, clear, kept)


def _kept(folder: Path, kind: str) -> Kept:
    sizes = [file.lstat().st_size for file in _files(folder, kind)]
    return Kept(kind, KINDS[kind][1], len(sizes), sum(sizes))


def _files(folder: Path, kind: str) -> list[Path]:
    """Return gantool's files of a kind; links are not followed."""
    found = [path for pattern in KINDS[kind][0] for path in folder.glob(pattern)]
    return [path for path in found if path.is_symlink() or path.is_file()]


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"

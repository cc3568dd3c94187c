"""`gantool cache`: list the cached files by kind, with their sizes, or remove them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import UsageError

_HASH = "[0-9a-f]" * 32
# kind -> (glob patterns, description). Only matching files are removed: others may share the cache folder.
KINDS = {
    "data": (("fashion-mnist/*-ubyte*", f"images/{_HASH}*"), "data sets, downloaded and decoded"),
    "features": (("features/classifier-*",), "classifiers that evaluate compares images with"),
    "speed": (("speed.json",), "training speeds that the autotuner measured on this machine"),
    "kernels": (("tensorrt-rtx/*.cache",), "kernels that TensorRT-RTX compiled for this GPU"),
    "graphs": ((f"graphs/{_HASH}",), "graphs that ONNX Runtime and OpenVINO were tried with here"),
    "web": (("web/onnxruntime-web-*/ort*",), "ONNX Runtime for browsers, for gantool export --web"),
    "errors": (("errors/error-*",), "details of unexpected errors"),
}


@dataclass(frozen=True)
class Kept:
    """The cached files of one kind."""

    kind: str
    what: str  # a description
    files: int
    bytes: int


@dataclass(frozen=True)
class Cache:
    """The cached files of one kind or all kinds; with `cleared`, the files that were removed."""

    folder: Path
    cleared: bool
    kept: tuple[Kept, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `gantool cache --json` prints."""
        return {**asdict(self), "folder": str(self.folder)}

    def text(self) -> str:
        """Return a table."""
        lines = [f"{self.folder}{', removed:' if self.cleared else ''}"]
        lines += [
            f"  {one.kind:<9} {_size(one.bytes):>10} {one.files:>6,} files  {one.what}" for one in self.kept
        ]
        if not self.cleared and any(one.bytes for one in self.kept):
            of = f" {self.kept[0].kind}" if len(self.kept) == 1 else ""
            lines.append(
                f"gantool makes these again when it needs them; to remove them:\n  gantool cache --clear{of}"
            )
        return "\n".join(lines)


def cache(kind: str | None = None, clear: bool = False) -> Cache:
    """List the cached files, of one kind or all; with `clear`, remove them. Raises UsageError for another kind."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"cache {kind} is unknown: choose {', '.join(KINDS)}")
    folder = cache_dir()
    kept = tuple(_kept(folder, name) for name in (KINDS if kind is None else [kind]))
    if clear:
        for one in kept:
            for file in _files(folder, one.kind):
                file.unlink(missing_ok=True)
                if file.parent != folder:
                    with suppress(OSError):  # the folder is not empty
                        file.parent.rmdir()
    return Cache(folder, clear, kept)


def _kept(folder: Path, kind: str) -> Kept:
    sizes = [file.lstat().st_size for file in _files(folder, kind)]
    return Kept(kind, KINDS[kind][1], len(sizes), sum(sizes))


def _files(folder: Path, kind: str) -> list[Path]:
    """Return gantool's files of a kind. Links are not followed."""
    found = [path for pattern in KINDS[kind][0] for path in folder.glob(pattern)]
    return [path for path in found if path.is_symlink() or path.is_file()]


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"

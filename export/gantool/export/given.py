"""What a folder stands for where a file is expected."""

from __future__ import annotations

from pathlib import Path

from gantool.export import bundle
from gantool.runtime.errors import GantoolError

CHECKPOINT = "generator.safetensors"
SUFFIXES = (".onnx", ".plan", ".safetensors")
RUNS = "runs"


def file_of(path: Path) -> Path:
    """Return a file as it is, for the folder of a run its checkpoint. Raises GantoolError for another folder."""
    if not path.is_dir():
        return path
    if (checkpoint := path / CHECKPOINT).is_file():
        return checkpoint
    known = ", ".join(map(str, files_of(path)[:5]))
    found = f"it holds {known}: name one of them" if known else "it holds no file of gantool"
    raise GantoolError(f"{path} is a folder, not that of a run with its {CHECKPOINT}; {found}")


def files_of(folder: Path) -> list[Path]:
    """Return what gantool may have made, in a folder and in the runs below it."""
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES or bundle.is_bundle(path))
    return [*found, *sorted((folder / RUNS).glob(f"*/{CHECKPOINT}"))]

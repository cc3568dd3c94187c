"""What a folder stands for where a file is expected, and whose weights a file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantool.export.packaging import bundle
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.sidecar import read_sidecar
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


def metadata_of(path: Path) -> dict[str, Any]:
    """Return the metadata that a checkpoint, a graph or a plan got from its training; {} where none are known."""
    try:
        if path.suffix == ".safetensors":
            from gantool.export.inspect import facts

            found = facts(path)["metadata"]
            return found if isinstance(found, dict) else {}
        if identify(path) == "onnx":
            return read_metadata(path)
        return dict(read_sidecar(path).get("metadata", {}))
    except GantoolError:
        return {}


def other_weights(first: dict[str, Any], second: dict[str, Any]) -> str | None:
    """Say how the weights of two files differ by their metadata; None where they may be the same."""
    keys = ("images_seen", "data", "config")
    if all(first.get(key) == second.get(key) for key in keys):
        return None
    return f"{_training(second)}, not {_training(first)}"


def _training(metadata: dict[str, Any]) -> str:
    seen = metadata.get("images_seen")
    length = f"{seen / 1000:,.1f} kimg" if type(seen) is int and seen < 2**53 else "an unknown length"
    return f"{length} of {str(metadata.get('data', 'unknown data'))[:80]}"

"""Find gantool's files in a folder, and compare the training of two files by their metadata."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gantool.export.packaging import bundle
from gantool.export.safetensors_header import checkpoint_metadata
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata

CHECKPOINT = "generator.safetensors"
SUFFIXES = (".onnx", ".plan", ".safetensors")
RUNS = "runs"


def resolve_file(path: Path) -> Path:
    """Return a file unchanged, or the checkpoint of a run's folder. Raises GantoolError for another folder."""
    if not path.is_dir():
        return path
    if (checkpoint := path / CHECKPOINT).is_file():
        return checkpoint
    known = ", ".join(map(str, list_files(path)[:5]))
    found = f"it holds {known}: name one of them" if known else "it holds no file of gantool"
    raise GantoolError(f"{path} is a folder, not that of a run with its {CHECKPOINT}; {found}")


def list_files(folder: Path) -> list[Path]:
    """Return the files that gantool may have made: in a folder, and the checkpoints of the runs below it."""
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES or bundle.is_bundle(path))
    return [*found, *sorted((folder / RUNS).glob(f"*/{CHECKPOINT}"))]


def training_metadata(path: Path) -> Metadata:
    """Return the training's metadata in a checkpoint, graph or plan; empty if unknown."""
    with suppress(GantoolError):
        if path.suffix == ".safetensors":
            return checkpoint_metadata(path)
        if identify(path) == "onnx":
            return read_metadata(path)
        if sidecar := read_sidecar(path):
            return sidecar.metadata
    return Metadata({})


def training_difference(first: Metadata, second: Metadata) -> str | None:
    """Return how the training of the second file differs from that of the first; None if it is the same."""
    if first.training == second.training:
        return None
    return f"{_training(second)}, not {_training(first)}"


def _training(metadata: Metadata) -> str:
    length, data = "an unknown length", "unknown data"
    with suppress(GantoolError):
        length = f"{metadata.images_seen / 1000:,.1f} kimg"
    with suppress(GantoolError):
        data = metadata.data[:80]
    return f"{length} of {data}"

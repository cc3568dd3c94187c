"""What the backends of ONNX graphs share: the contract of a graph, read off its file and its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from pathlib import Path
from typing import Any

from gantool.runtime.artifacts.onnx import low_of, output_shape, read_metadata
from gantool.runtime.errors import GantoolError
from gantool.runtime.signature import Signature, Tensor
from gantool.runtime.spec import Spec


def spec_of_graph(path: Path, data: bytes | mmap, tensors: Sequence[Tensor]) -> Spec:
    """Return what a graph takes and gives; `data` is the file `path`. Raises GantoolError for another graph."""
    signature = Signature.of_graph(path, tensors)
    metadata = read_metadata(path, data)
    if metadata and metadata.distribution is None:
        raise metadata.wrong("latent", "the size and the distribution of z")
    spec = signature.spec(metadata)
    _check_size(path, data, spec)
    return spec


def _check_size(path: Path, data: bytes | mmap, spec: Spec) -> None:
    """Raise GantoolError if a library makes images of another size than the graph declares."""
    said = output_shape(path, data, "images")[1:]
    if len(said) == 3 and any(a not in (None, b) for a, b in zip(said, spec.image_shape, strict=True)):
        raise GantoolError(
            f"{path} declares images of {_by(said)}, and this library makes {_by(spec.image_shape)}: it reads the "
            "graph differently (its paddings?); run it with another --provider, or export the generator again"
        )


def check_images(path: Path, images: Any, spec: Spec, count: int) -> None:
    """Raise GantoolError if images are not of the size that the spec says."""
    expected = (count, *spec.image_shape)
    if images.shape != expected:
        raise GantoolError(
            f"{path} made images of {_by(images.shape)}, expected {_by(expected)}: export the generator again"
        )


def _by(sides: Sequence[int | None]) -> str:
    return "×".join("any" if side is None else str(side) for side in sides)


def in_fp16(path: Path, data: bytes | mmap) -> bool:
    """Whether a gantool graph computes in FP16, by its recipe."""
    return low_of(path, data) == "fp16"

"""The contract of an ONNX graph, from its file and its tensors: shared by the backends that run graphs."""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from pathlib import Path
from typing import Any

from gantool.runtime.artifacts.onnx import low_of, output_shape, read_metadata
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import LATENT
from gantool.runtime.signature import Signature, Tensor
from gantool.runtime.spec import Spec


def spec_of_graph(path: Path, data: bytes | mmap, tensors: Sequence[Tensor]) -> Spec:
    """Return the spec of a graph from `data`, the bytes of the file `path`, and the tensors that its library lists.

    Raises GantoolError for a graph that is not a generator.
    """
    signature = Signature.of_graph(path, tensors)
    metadata = read_metadata(path, data)
    if metadata and metadata.distribution is None:
        raise metadata.wrong("latent", LATENT)
    spec = signature.spec(metadata)
    _check_size(path, data, spec)
    return spec


def _check_size(path: Path, data: bytes | mmap, spec: Spec) -> None:
    """Raise GantoolError if a library infers another image size than the graph declares."""
    declared = output_shape(path, data, "images")[1:]
    if len(declared) == 3 and any(
        a not in (None, b) for a, b in zip(declared, spec.image_shape, strict=True)
    ):
        raise GantoolError(
            f"{path} declares images of {_by(declared)}, and this library makes {_by(spec.image_shape)}: it reads "
            "the graph differently (its paddings?); run it with another --provider, or export the generator again"
        )


def check_images(path: Path, images: Any, spec: Spec, count: int) -> None:
    """Raise GantoolError unless `images` are `count` images of the spec's size."""
    expected = (count, *spec.image_shape)
    if images.shape != expected:
        raise GantoolError(
            f"{path} made images of {_by(images.shape)}, expected {_by(expected)}: export the generator again"
        )


def _by(sides: Sequence[int | None]) -> str:
    return "×".join("any" if side is None else str(side) for side in sides)


def in_fp16(path: Path, data: bytes | mmap) -> bool:
    """Return whether a graph computes in FP16, by its recipe."""
    return low_of(path, data) == "fp16"

"""The contract of a generator's ONNX graph, read off its inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from pathlib import Path
from typing import Any

from gantool.runtime.artifacts.onnx import output_shape, read_metadata
from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import listed, reason_of, short, sides
from gantool.runtime.spec import Spec, class_names

# By name: float, int64, uint8 ..., and the shape, where None or a name means any size.
MAX_LATENT = 1 << 20
Tensors = dict[str, tuple[str, list[Any]]]


def spec_of_graph(path: Path, data: bytes | mmap, inputs: Tensors, outputs: Tensors) -> Spec:
    """Return what a graph takes and gives; `data` is the file `path`. Raises GantoolError for another graph."""
    label = inputs.get("label")
    match inputs, outputs:
        case {"z": ("float", [batch, int(latent)])}, {
            "images": ("uint8" | "float" as kind, [_, int(a), int(b), int(c)])
        } if (
            len(outputs) == 1
            and len(inputs) == (1 if label is None else 2)
            and label in (None, ("int64", [batch]))
        ):
            height, width, channels = (a, b, c) if kind == "uint8" else (b, c, a)
            if channels in (1, 3) and 0 < latent <= MAX_LATENT:
                _check_size(path, data, [a, b, c])
                fixed = batch if isinstance(batch, int) else None
                distribution, classes, names = _metadata(path, data)
                return Spec(
                    latent=latent,
                    height=height,
                    width=width,
                    channels=channels,
                    min_batch=fixed or 1,
                    max_batch=fixed,
                    dtype="uint8" if kind == "uint8" else "float32",
                    distribution=distribution,
                    classes=0 if label is None else classes,
                    class_names=() if label is None else names,
                )
    raise GantoolError(
        f"{path} is not a gantool generator: it has inputs {_shown(inputs)} and outputs {_shown(outputs)}; "
        "expected z float [N, latent], perhaps label int64 [N], and images uint8 [N, H, W, C] or float "
        f"[N, C, H, W], with C 1 or 3: to make it one, gantool export {path} -o g"
    )


def _check_size(path: Path, data: bytes | mmap, size: list[int]) -> None:
    """Raise GantoolError if a library makes images of another size than the graph declares."""
    said = output_shape(path, data, "images")[1:]
    if len(said) == 3 and any(a not in (None, b) for a, b in zip(said, size, strict=True)):
        raise GantoolError(
            f"{path} declares images of {_by(said)}, and this library makes {_by(size)}: it reads the graph "
            "differently (its paddings?); run it with another --provider, or export the generator again"
        )


def check_images(path: Path, images: Any, spec: Spec, count: int) -> None:
    """Raise GantoolError if images are not of the size that the spec says."""
    size = (spec.height, spec.width, spec.channels)
    expected = (count, *size) if spec.dtype == "uint8" else (count, size[2], *size[:2])
    if images.shape != expected:
        raise GantoolError(
            f"{path} made images of {_by(images.shape)}, expected {_by(expected)}: export the generator again"
        )


def _by(sides: Sequence[int | None]) -> str:
    return "×".join("any" if side is None else str(side) for side in sides)


def in_fp16(path: Path, data: bytes | mmap) -> bool:
    """Whether a gantool graph computes in FP16, by its recipe."""
    return read_metadata(path, "gantool_recipe", data).get("low") == "fp16"


def _shown(tensors: Tensors) -> str:
    shown = [f"{short(name)} {kind} [{sides(shape)}]" for name, (kind, shape) in tensors.items()]
    return listed(shown) or "none"


def _metadata(path: Path, data: bytes | mmap) -> tuple[str, int | None, tuple[str, ...]]:
    """Return the distribution of z, how many classes there are, and their names; else normal, None, ()."""
    try:
        metadata = read_metadata(path, data=data)
        if not metadata:
            return "normal", None, ()
        classes = int(metadata.get("classes", 0)) or None
        return str(metadata["latent"]["distribution"]), classes, class_names(metadata, classes)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise GantoolError(
            f"the `gantool` metadata in {path} is damaged ({reason_of(error)}): export it again"
        ) from error

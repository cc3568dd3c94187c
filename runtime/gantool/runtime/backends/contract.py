"""The contract of a generator's ONNX graph, read off its inputs and outputs."""

from __future__ import annotations

from mmap import mmap
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.onnx_file import read_metadata
from gantool.runtime.spec import Spec

# By name: float, int64, uint8 ..., and the shape, in which None or a name is any size.
Tensors = dict[str, tuple[str, list[Any]]]


def spec_of_graph(path: Path, data: mmap, inputs: Tensors, outputs: Tensors) -> Spec:
    """Return what a graph takes and gives; `data` is the file `path`. Raises GantoolError if it is none of ours."""
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
            if channels in (1, 3):
                fixed = batch if isinstance(batch, int) else None
                distribution, classes = _metadata(path, data)
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
                )
    raise GantoolError(
        f"{path} is no generator of gantool: it has inputs {_shown(inputs)} and outputs {_shown(outputs)}; "
        "expected z float [N, latent], perhaps label int64 [N], and images uint8 [N, H, W, C] or float "
        "[N, C, H, W], with C 1 or 3"
    )


def in_fp16(path: Path, data: mmap) -> bool:
    """Whether a graph of gantool computes in FP16, by its recipe."""
    return read_metadata(path, "gantool_recipe", data).get("low") == "fp16"


def _shown(tensors: Tensors) -> str:
    return ", ".join(f"{name} {kind} {shape}" for name, (kind, shape) in tensors.items()) or "none"


def _metadata(path: Path, data: mmap) -> tuple[str, int | None]:
    """Return the distribution of z and the number of classes; normal and None without metadata."""
    try:
        metadata = read_metadata(path, data=data)
        if not metadata:
            return "normal", None
        return str(metadata["latent"]["distribution"]), int(metadata.get("classes", 0)) or None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GantoolError(
            f"the `gantool` metadata in {path} is damaged ({error!r}): export it again"
        ) from error

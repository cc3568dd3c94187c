"""A model repository for NVIDIA's Triton Inference Server: config.pbtxt and the engine, ready to be served.

Dimensions stand without the batch. Source: Triton Inference Server, "Model Configuration".
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from gantool.runtime.errors import UsageError

PLATFORMS = {".plan": ("tensorrt_plan", "model.plan"), ".onnx": ("onnxruntime_onnx", "model.onnx")}


def parse_target(text: Path, base: Path) -> tuple[Path, str]:
    """Split REPO/NAME; where REPO is a folder that is there, or ends in /, NAME is that of the export."""
    repository, name = (text, base.name) if text.is_dir() else (text.parent, text.name)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(f"--triton {text}: {name!r} is no name for a model, use letters, digits, _, - and .")
    return repository, name


def shapes_of(metadata: dict[str, Any], graph: Path) -> dict[str, tuple[str, list[int]]]:
    """Return type and dimensions of z, label and images, from ONNX Runtime where the metadata do not tell."""
    from gantool.runtime.generator import Generator

    if "image" not in metadata or "latent" not in metadata:
        raise UsageError(f"--triton: {graph} carries no metadata of gantool: export it with gantool first")
    height, width, channels = metadata["image"]
    shapes = {"z": ("TYPE_FP32", [int(metadata["latent"]["size"])])}
    if metadata.get("classes"):
        shapes["label"] = ("TYPE_INT64", [])
    uint8 = True
    if not graph.name.endswith(".bf16.onnx"):
        with Generator.load(graph, provider="cpu") as generator:
            uint8 = generator.spec.dtype == "uint8"
    kind, dims = (
        ("TYPE_UINT8", [height, width, channels]) if uint8 else ("TYPE_FP32", [channels, height, width])
    )
    return {**shapes, "images": (kind, dims)}


def write(
    repository: Path, name: str, engine: Path, metadata: dict[str, Any], shapes: Any, max_batch: int
) -> Path:
    """Write repository/name with config.pbtxt and 1/model.plan or 1/model.onnx; replace what is there.

    `shapes` has, for z, label and images, the type as Triton names it and the dimensions without the batch.
    """
    platform, file = PLATFORMS[engine.suffix]
    target = repository / name
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gantool-", dir=repository) as folder:
        made = Path(folder) / name
        (made / "1").mkdir(parents=True)
        shutil.copyfile(engine, made / "1" / file)
        classes = int(metadata.get("classes", 0))
        if classes:
            (made / "labels.txt").write_text(
                "".join(f"{label}\n" for label in range(classes)), encoding="utf-8"
            )
        (made / "config.pbtxt").write_text(
            _config(name, platform, metadata, shapes, max_batch), encoding="utf-8"
        )
        if target.exists():
            target.replace(Path(folder) / "old")
        made.replace(target)
    return target


def _config(name: str, platform: str, metadata: dict[str, Any], shapes: Any, max_batch: int) -> str:
    latent = metadata.get("latent", {})
    sizes = sorted({size for size in (4, 8, 16, 32, max_batch) if size <= max_batch})
    inputs = ",\n".join(
        _tensor(key, shapes[key][0], shapes[key][1]) for key in ("z", "label") if key in shapes
    )
    warm_ups = ",\n".join(_warm_up(size, shapes) for size in sorted({1, max_batch}))
    images_type, images_dims = shapes["images"]
    labels = '\n    label_filename: "labels.txt"' if metadata.get("classes") else ""
    return f"""# z of a seed is numpy.random.RandomState(seed).randn(latent), or 2 * rand - 1 if it is uniform
name: "{name}"
platform: "{platform}"
max_batch_size: {max_batch}
input [
{inputs}
]
output [
{_tensor("images", images_type, images_dims, labels)}
]
dynamic_batching {{ preferred_batch_size: [ {", ".join(map(str, sizes))} ] }}
model_warmup [
{warm_ups}
]
parameters {{ key: "latent_distribution" value {{ string_value: "{latent.get("distribution", "normal")}" }} }}
"""


def _tensor(name: str, kind: str, dims: list[int], more: str = "") -> str:
    # Triton puts the batch in front; [1] and a reshape to nothing leave [N] of a label
    shape, reshape = (dims, "") if dims else ([1], "\n    reshape { shape: [ ] }")
    return f"""  {{
    name: "{name}"
    data_type: {kind}
    dims: [ {", ".join(map(str, shape))} ]{reshape}{more}
  }}"""


def _warm_up(batch: int, shapes: Any) -> str:
    inputs = "".join(
        f"""
    inputs {{
      key: "{name}"
      value {{
        data_type: {kind}
        dims: [ {", ".join(map(str, dims or [1]))} ]
        {"random_data" if name == "z" else "zero_data"}: true
      }}
    }}"""
        for name, (kind, dims) in shapes.items()
        if name != "images"
    )
    return f"""  {{
    name: "batch {batch}"
    batch_size: {batch}{inputs}
  }}"""

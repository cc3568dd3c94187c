"""An entry of a Triton model repository: NAME/config.pbtxt and NAME/1/model.plan or model.onnx.

Sources: "Model Configuration" and "Model Repository" in the user guide of Triton Inference Server.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from gantool.export.artifact import Graph
from gantool.export.engine.artifact import Engine
from gantool.export.engine.options import BuildOptions, Library
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.metadata import Metadata
from gantool.runtime.signature import INPUT, OUTPUT, Tensor, tensors_of
from gantool.runtime.spec import Spec

_log = logging.getLogger(__name__)

CONFIG, LABELS = "config.pbtxt", "labels.txt"
_TYPES = {
    "float32": "TYPE_FP32",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "int64": "TYPE_INT64",
    "int32": "TYPE_INT32",
}


def parse_entry(target: Path, name: str) -> Path:
    """Return the folder of the model: `target` as REPO/NAME, or REPO/`name` if `target` is an existing repository.

    Raises UsageError for a name that Triton does not accept.
    """
    inside = target.is_dir() and not (target / CONFIG).is_file()
    entry = target / name if inside else target
    if not inside and entry.parent == Path():
        raise UsageError(
            f"`triton` {target}: there is no such repository; give a model in it: {target / name}"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", entry.name):  # it becomes a part of URLs
        raise UsageError(
            f"`triton` {target}: {entry.name!r} is not a name for a model in Triton: use letters, digits, _, . "
            "and -"
        )
    return entry


def check_options(library: Library | None, options: BuildOptions) -> None:
    """Raise UsageError, before any work, for build options whose engine Triton cannot use."""
    if library == "tensorrt" and options.batches[0] > 1:
        raise UsageError(
            f"`triton` needs an engine that takes single requests, and this one takes at least "
            f"{options.batches[0]} images: leave out `min_batch` and `dla`"
        )
    if library == "tensorrt" and options.strip_weights:
        raise UsageError("`triton` needs a plan with its weights: leave out `strip_weights`")


@dataclass(frozen=True)
class Contents:
    """The files of a model in a repository."""

    entry: Path  # the folder of the model
    model: bytes
    model_name: str  # model.plan or model.onnx
    config: str
    class_names: list[str]  # [] if unconditional


def contents(
    entry: Path, graph: Graph, spec: Spec | None, engine: Engine | None, options: BuildOptions
) -> Contents:
    """Return the files of a model: of a TensorRT engine if there is one, else of the graph, for ONNX Runtime.

    `spec` describes the graph's inputs and outputs; None if ONNX Runtime has no kernels for it. Raises GantoolError
    for a graph that Triton's ONNX Runtime cannot run.
    """
    largest = options.max_batch if engine is None else engine.sidecar.max_batch
    tensors = _tensors_of_graph(graph, spec) if engine is None else engine.sidecar.tensors
    names = _class_names(graph.metadata)
    parameters = {
        "latent": next(tensor.shape[1] for tensor in tensors if tensor.name == "z"),
        "distribution": graph.metadata.distribution or "normal",
        "precision": graph.recipe.precision,
        **graph.metadata.authorship.to_json(),
    }
    text = _config(
        _Model(entry.name, engine is not None, tensors, options.batches[1], largest, parameters, bool(names))
    )
    if engine is None:
        return Contents(entry, graph.data[:], "model.onnx", text, names)
    return Contents(entry, engine.plan, "model.plan", text, names)


def write(made: Contents) -> None:
    """Write a model, each file atomically; remove the files of an earlier one."""
    folder = made.entry / "1"
    if folder.exists():
        _log.info(f"{folder} exists: gantool replaces its model")
    with atomic(folder / made.model_name) as part:
        part.write_bytes(made.model)
    if made.class_names:
        with atomic(made.entry / LABELS) as part:
            part.write_text("".join(f"{name}\n" for name in made.class_names), encoding="utf-8")
    with atomic(made.entry / CONFIG) as part:  # last: with it, Triton loads the folder as a model
        part.write_text(made.config, encoding="utf-8")
    for left in {"model.onnx", "model.plan"} - {made.model_name}:
        (folder / left).unlink(missing_ok=True)
    if not made.class_names:
        (made.entry / LABELS).unlink(missing_ok=True)


def command(repository: Path, version_compatible: bool) -> str:
    """Return the command that serves a repository, with a placeholder for Triton's release."""
    allowed = " --backend-config=tensorrt,version-compatible=true" if version_compatible else ""
    return (
        f"docker run --rm --gpus all -p 8000-8002:8000-8002 -v {quote(str(repository.resolve()))}:/models "
        "nvcr.io/nvidia/tritonserver:YY.MM-py3 tritonserver --model-repository=/models"
        f"{allowed}"
    )


def _tensors_of_graph(graph: Graph, spec: Spec | None) -> tuple[Tensor, ...]:
    if spec is None:
        raise GantoolError(
            f"`triton`: Triton would run {graph.name} with ONNX Runtime, which has no convolution in BF16: build a "
            "TensorRT engine, or export with `fp16`"
        )
    if spec.max_batch is not None:
        raise GantoolError(
            f"`triton` needs a dynamic batch, and {graph.name} takes exactly {spec.max_batch} images: export its "
            "generator with a dynamic batch"
        )
    return tensors_of(spec)


def _class_names(metadata: Metadata) -> list[str]:
    """Return a name for each class (its number if the metadata have no names); [] if unconditional.

    Raises GantoolError if a name is missing or empty: the lines of labels.txt would not match the classes.
    """
    classes = metadata.classes
    names = metadata.class_names_as_given or list(range(classes))
    lines = [" ".join(str(name).split()) for name in names] if isinstance(names, list) else []  # one a line
    if len(lines) != classes or not all(lines):
        raise GantoolError(
            f"`triton`: the generator has {classes} classes, and class_names in its metadata is "
            f"{json.dumps(names)[:80]}: give each class a name, or leave class_names out"
        )
    return lines


@dataclass(frozen=True)
class _Model:
    """The content of a config.pbtxt."""

    name: str
    plan: bool  # a TensorRT plan, else an ONNX graph
    tensors: tuple[Tensor, ...]
    opt_batch: int
    max_batch: int
    parameters: Mapping[str, object]
    labels: bool  # there is a labels.txt


def _config(model: _Model) -> str:
    """Return config.pbtxt, a ModelConfig in protobuf's text format."""
    inputs = [tensor for tensor in model.tensors if tensor.mode == INPUT]
    (images,) = (tensor for tensor in model.tensors if tensor.mode == OUTPUT)
    largest = model.max_batch
    # Zeros, since Triton's random data would be labels outside of the classes.
    warm = " ".join(
        f'inputs {{ key: "{tensor.name}" value {{ {_signature(tensor)} zero_data: true }} }}'
        for tensor in inputs
    )
    label_file = f' label_filename: "{LABELS}"' if model.labels else ""  # only outputs have this field
    lines = [
        f'name: "{model.name}"',
        f'platform: "{"tensorrt_plan" if model.plan else "onnxruntime_onnx"}"',
        f"max_batch_size: {largest}",
        *(f'input {{ name: "{x.name}" {_signature(x)}{_reshape(x)} }}' for x in inputs),
        f'output {{ name: "images" {_signature(images)}{label_file} }}',
        "version_policy { latest { num_versions: 1 } }",
        f"dynamic_batching {{ preferred_batch_size: {sorted({min(model.opt_batch, largest), largest})} }}",
        *(
            f'model_warmup {{ name: "batch {batch}" batch_size: {batch} {warm} }}'
            for batch in sorted({1, largest})
        ),
        *(
            f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(str(value), ensure_ascii=False)} }} }}'
            for key, value in model.parameters.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _signature(tensor: Tensor) -> str:
    """Return type and dims without the batch, which Triton prepends; it has no [N], so that becomes [N, 1]."""
    return f"data_type: {_TYPES[tensor.type]} dims: {list(tensor.shape[1:]) or [1]}"


def _reshape(tensor: Tensor) -> str:
    return "" if tensor.shape[1:] else " reshape { shape: [ ] }"

"""Graphs that were made elsewhere, by torch or by Keras and tf2onnx say, brought to the contract of a graph.

before: any names; z [N, L] or [N, L, 1, 1]; perhaps a label, integer [N] or [N, 1]; images in [-1, 1],
        float32 [N, C, H, W] or [N, H, W, C]
after:  z float32 [N, L], label int64 [N], images float32 [N, C, H, W]; BatchNorm folded, opset 17 or newer
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import Sequential
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveInitializersFromInputsPass,
    ShapeInferencePass,
)

from gantool.export.behaviour import SEEDS, in_unit, problem
from gantool.export.emulate import Arrays
from gantool.export.fold import fold_batchnorm
from gantool.export.graph import add_range
from gantool.export.options import Foreign
from gantool.export.padding import write_paddings
from gantool.export.simplify import simplify
from gantool.runtime.backends.quiet import import_onnxruntime, run_options
from gantool.runtime.cpus import limit
from gantool.runtime.errors import GantoolError
from gantool.runtime.interrupt import stopped

BATCH = 16  # of a graph that takes any


def adopt(path: Path, foreign: Foreign, oldest: int) -> tuple[ir.Model, dict[str, Any]]:
    """Return the graph of `path` as a float graph under the contract, and metadata of what was found.

    An opset before `oldest` is converted to it.

    Raises GantoolError, naming the graph's own inputs and outputs, if it is no generator.
    """
    proto = onnx.load(path)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < oldest:
        try:
            proto = onnx.version_converter.convert_version(proto, oldest)
        except (RuntimeError, ValueError) as error:  # what onnx raises for operators that it cannot convert
            raise GantoolError(
                f"{path} has opset {opset} and does not convert to {oldest} ({error}): export it anew"
            ) from error
    model = ir.from_proto(proto)
    Sequential(
        RemoveInitializersFromInputsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True),
        IdentityEliminationPass(),
        ShapeInferencePass(),
    )(model)
    simplify(model)
    ShapeInferencePass()(model)
    write_paddings(model)
    z, label = _inputs(path, model)
    images = _images(path, model)
    _rename(model, z, label)
    _to_nchw(model, images)
    for index, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{index}"
    ClearMetadataAndDocStringPass()(model)
    ShapeInferencePass()(model)
    add_range(model, foreign)
    fold_batchnorm(model)
    _, channels, height, width = _shape(model.graph.outputs[0])
    if (foreign.classes > 0) != (label is not None):
        raise GantoolError(
            f"{path} has {'an' if label is not None else 'no'} input for a label: "
            + (
                f"give --classes, how many it knows ({label.name})"
                if label is not None
                else "leave out --classes"
            )
        )
    model.metadata_props.clear()
    return model, {
        "format": 1,
        "architecture": model.graph.name or "onnx",
        "image": [height, width, channels],
        "latent": {"size": _shape(model.graph.inputs[0])[1], "distribution": foreign.distribution},
        "classes": foreign.classes,
        "data": path.name,
        "gantool": version("gantool"),
    }


def shown(model: ir.Model) -> str:
    """Return the inputs and outputs of a model, as messages have them."""
    values = [*model.graph.inputs, *model.graph.outputs]
    return "; ".join(
        f"{value.name} {value.dtype} [{', '.join(str(side) for side in value.shape or ())}]"
        for value in values
    )


def _inputs(path: Path, model: ir.Model) -> tuple[ir.Value, ir.Value | None]:
    floats = [value for value in model.graph.inputs if value.dtype == ir.DataType.FLOAT]
    others = [value for value in model.graph.inputs if value.dtype != ir.DataType.FLOAT]
    labels = [value for value in others if value.dtype in (ir.DataType.INT64, ir.DataType.INT32)]
    if len(floats) == 1 and len(labels) == len(others) <= 1:
        match _shape(floats[0]):
            case [_, int()] | [_, int(), 1, 1]:
                return floats[0], labels[0] if labels else None
    raise GantoolError(
        f"{path} is no generator: it has {shown(model)}; expected one float32 input [N, latent] or "
        "[N, latent, 1, 1], perhaps an integer label, and float32 images"
    )


def _images(path: Path, model: ir.Model) -> ir.Value:
    if len(model.graph.outputs) == 1 and model.graph.outputs[0].dtype == ir.DataType.FLOAT:
        (images,) = model.graph.outputs
        match _shape(images):
            case [_, 1 | 3, int(), int()] | [_, int(), int(), 1 | 3]:
                return images
    raise GantoolError(
        f"{path} is no generator: it has {shown(model)}; expected one output, float32 images [N, C, H, W] or "
        "[N, H, W, C] with C 1 or 3 and the sizes known"
    )


def _rename(model: ir.Model, z: ir.Value, label: ir.Value | None) -> None:
    """Make z [N, L] and label int64 [N] the inputs; a Reshape or Cast gives the graph what it had."""
    shape = _shape(z)
    batch = shape[0] if isinstance(shape[0], int) else "N"
    rows = _input("z", ir.DataType.FLOAT, batch, shape[1])
    _feed(model, z, rows, [] if len(shape) == 2 else [("Reshape", {}, [0, -1, 1, 1])])  # 0 keeps N
    model.graph.inputs[:] = [rows]
    if label is not None:
        classes = _input("label", ir.DataType.INT64, batch)
        steps: list[tuple[str, dict[str, Any], list[int] | None]] = []
        if len(_shape(label)) == 2:
            steps.append(("Reshape", {}, [-1, 1]))
        if label.dtype == ir.DataType.INT32:
            steps.append(("Cast", {"to": ir.DataType.INT32}, None))
        _feed(model, label, classes, steps)
        model.graph.inputs.append(classes)


def _shape(value: ir.Value) -> list[Any]:
    return list(value.shape or ())


def _input(name: str, dtype: ir.DataType, *shape: Any) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def _feed(
    model: ir.Model, old: ir.Value, new: ir.Value, steps: list[tuple[str, dict[str, Any], list[int] | None]]
) -> None:
    """Put `new`, through some nodes, in the place of the input `old`."""
    if old.name == new.name:
        old.name = f"{old.name}/old"
    users, value = list(old.uses()), new
    first = model.graph[0]
    for operator, attributes, shape in steps:
        inputs = [value]
        if shape is not None:
            tensor = ir.tensor(shape, ir.DataType.INT64, name=f"{new.name}/{operator}/shape")
            constant = ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), const_value=tensor)
            model.graph.register_initializer(constant)
            inputs.append(constant)
        node = ir.node(operator, inputs, attributes=attributes, name=f"{new.name}/{operator.lower()}")
        model.graph.insert_before(first, node)
        (value,) = node.outputs
        value.name = f"{new.name}/{operator.lower()}"
        value.type = ir.TensorType(attributes.get("to") or new.dtype or ir.DataType.FLOAT)
    for user, index in users:
        user.replace_input_with(index, value)


def _to_nchw(model: ir.Model, images: ir.Value) -> None:
    shape = _shape(images)
    if images.name == "images":
        images.name = "images/old"
    if shape[1] in (1, 3):
        images.name = "images"
        return
    producer = images.producer()
    if (
        producer is not None
        and producer.op_type == "Transpose"
        and producer.attributes.get_ints("perm") == [0, 2, 3, 1]
    ):
        inner = producer.inputs[0]  # as tf2onnx ends a graph: undone rather than done twice
        assert inner is not None
        model.graph.outputs[0] = inner
        model.graph.remove(producer, safe=True)
    else:
        node = ir.node("Transpose", [images], attributes={"perm": [0, 3, 1, 2]}, name="images/nchw")
        model.graph.append(node)
        (inner,) = node.outputs
        inner.type = ir.TensorType(ir.DataType.FLOAT)
        model.graph.outputs[0] = inner
    inner.name, inner.shape = "images", ir.Shape([shape[0], shape[3], shape[1], shape[2]])  # [N, C, H, W]


def floats_of(path: Path, feeds: Arrays, foreign: Foreign) -> NDArray[np.float32]:
    """Return the images that the graph itself makes of z and label: float32 [N, C, H, W] in [-1, 1].

    Raises GantoolError if ONNX Runtime does not run it, or if it behaves as no generator does.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = limit()
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        size = _batch(session.get_inputs()[0].shape[0])
        images = _run(session, feeds, size)
        few = {name: value[: len(SEEDS)] for name, value in feeds.items()}
        alone = _run(session, few, 1 if size == BATCH else size)
        same = {name: value[: max(size, len(SEEDS))] for name, value in feeds.items()}
        again = _run(session, same, size)  # in the same batches
    except Exception as error:  # ONNX Runtime has a class of its own for each kind
        if stopped():
            raise KeyboardInterrupt from error
        reason = " ".join(str(error).split())[:300]
        raise GantoolError(
            f"ONNX Runtime does not run {path}: {reason}. Export it with a dynamic batch if one is fixed inside; "
            "--classes must be as many as it knows"
        ) from error
    if found := problem(images[: len(SEEDS)], again[: len(SEEDS)], alone, foreign=foreign):
        raise GantoolError(f"{path} {found}")
    return in_unit(images, foreign)


def _run(session: Any, feeds: Arrays, size: int) -> NDArray[np.float32]:
    """Return the images of all rows, `size` at a time, float32 [N, C, H, W]."""
    parts = []
    count = len(feeds["z"])
    for start in range(0, count, size):
        rows = {}
        for value in session.get_inputs():
            feed = feeds["z" if value.type == "tensor(float)" else "label"][start : start + size]
            feed = np.pad(feed, [(0, size - len(feed))] + [(0, 0)] * (feed.ndim - 1))
            dtype = {"tensor(float)": np.float32, "tensor(int32)": np.int32}.get(value.type, np.int64)
            rows[value.name] = feed.reshape(feed.shape + (1,) * (len(value.shape) - feed.ndim)).astype(dtype)
        parts.append(session.run(None, rows, run_options())[0][: count - start])
    images: NDArray[np.float32] = np.concatenate(parts)
    return images if images.shape[1] in (1, 3) else images.transpose(0, 3, 1, 2)  # [N, C, H, W]


def _batch(size: int | str | None) -> int:
    return size if isinstance(size, int) else BATCH

"""Graphs that were made elsewhere, by torch or by Keras and tf2onnx say, brought to the contract of a graph.

before: what `original` takes: any names, shapes of z, types of floats; perhaps a label; images in [-1, 1]
after:  z float32 [N, L], label int64 [N], images float32 [N, C, H, W]; BatchNorm folded, opset 17 or newer
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
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
    InlinePass,
    LiftConstantsToInitializersPass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from gantool.export.graph.external import load_whole, tensors
from gantool.export.graph.fold_batchnorm import fold_batchnorm
from gantool.export.graph.from_torch import add_range
from gantool.export.graph.inputs import Input, Matched
from gantool.export.graph.names import free_names
from gantool.export.graph.original import Original
from gantool.export.graph.padding import write_paddings
from gantool.export.graph.simplify import simplify
from gantool.export.options import Foreign
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import reason_of

_OTHER_FLOATS = (ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def import_onnx(path: Path, foreign: Foreign, oldest: int) -> tuple[ir.Model, Metadata, Original]:
    """Return the graph of `path` as a float graph under the contract, metadata of what was found, and itself.

    An opset before `oldest` is converted to it.

    Raises GantoolError, naming the graph's own inputs and outputs, if it is no generator.
    """
    proto = load_whole(path)
    without_kernels = (
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.BFLOAT16,
    )  # of layers, in ONNX Runtime on a CPU
    if any(tensor.data_type in without_kernels for tensor in tensors(proto)):
        wide = ir.from_proto(proto)
        InlinePass()(wide)
        _to_float32(wide)
        proto = ir.to_proto(wide)
    unread = _leave_out_unread(proto)
    original = Original(path, proto, foreign)
    original.notes += [f"its input {name} is not used, and left out" for name in unread]
    matched = original.matched
    (images,) = [value for value in proto.graph.output if value.name == matched.images]
    del proto.graph.output[:]  # others are in the way: one may be an input that is passed on
    proto.graph.output.append(images)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < oldest:
        # Before 4 a weight has to be an input, too, or the converter does not find it
        proto.ir_version = max(proto.ir_version, 4)
        try:
            proto = onnx.version_converter.convert_version(proto, oldest)
        except Exception as error:  # the converter's own, which has no base in common with the others
            raise GantoolError(
                f"{path} has opset {opset} and does not convert to {oldest} ({reason_of(error)}): export it again"
            ) from error
    model = ir.from_proto(proto)
    Sequential(
        RemoveInitializersFromInputsPass(),
        InlinePass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        IdentityEliminationPass(),
    )(model)
    _to_float32(model)
    ShapeInferencePass()(model)
    simplify(model)
    ShapeInferencePass()(model)
    write_paddings(model, partial(original.shapes, model))
    ShapeInferencePass()(model)
    by_name = {value.name: value for value in (*model.graph.inputs, *model.graph.outputs)}
    free_names(model)
    _take_inputs(model, matched, by_name)
    _take_images(model, matched, by_name[matched.images])
    RemoveUnusedNodesPass()(model)  # those of other outputs
    for index, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{index}"
    ClearMetadataAndDocStringPass()(model)
    ShapeInferencePass()(model)
    add_range(model, foreign)
    fold_batchnorm(model)
    model.metadata_props.clear()
    channels, height, width = matched.size
    metadata = Metadata.of(
        architecture=model.graph.name or "onnx",
        image=(height, width, channels),
        latent=matched.inputs.latent,
        distribution=foreign.distribution,
        classes=foreign.classes,
        data=path.name,
    )
    return model, metadata, original


def _leave_out_unread(model: onnx.ModelProto) -> list[str]:
    """Remove the inputs that no node reads, in place, as a label that is not used, and return their names."""
    read = {value.name for value in model.graph.output} | set(_read(model.graph))
    default = {weight.name for weight in model.graph.initializer}
    unread = [value for value in model.graph.input if value.name not in read | default]
    for value in unread:
        model.graph.input.remove(value)
    return [value.name for value in unread]


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names that the nodes of a graph and of its subgraphs read."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _read(inner)
                yield from (value.name for value in inner.output)


def _to_float32(model: ir.Model) -> None:
    """Have every value of another float type in float32, in place."""
    graphs = [model.graph, *model.graph.subgraphs()]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    nodes = list(model.graph.all_nodes())
    for value in (*values, *(value for node in nodes for value in node.outputs)):
        if value.const_value is not None and value.const_value.dtype in _OTHER_FLOATS:
            value.const_value = _in_float32(value.const_value)
        if value.dtype in _OTHER_FLOATS:
            value.dtype = ir.DataType.FLOAT
    for node in nodes:
        for name, attribute in list(node.attributes.items()):
            if name in ("to", "dtype") and attribute.type == ir.AttributeType.INT:
                if ir.DataType(attribute.as_int()) in _OTHER_FLOATS:
                    node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT)
            elif attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in _OTHER_FLOATS:
                node.attributes[name] = ir.AttrTensor(name, _in_float32(attribute.as_tensor()))


def _in_float32(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)


def _take_inputs(model: ir.Model, matched: Matched, by_name: dict[str | None, ir.Value]) -> None:
    """Make z [N, L] and label int64 [N] the inputs; a Reshape, Gather or Cast gives the graph what it had."""
    inputs = matched.inputs
    batch = inputs.batch or "N"
    rows = _input("z", ir.DataType.FLOAT, batch, inputs.latent)
    columns = _reshape(model, rows, inputs.z.shape) if len(inputs.z.shape) > 1 else []
    _feed(model, by_name[inputs.z.name], rows, columns)
    model.graph.inputs[:] = [rows]
    if inputs.label is None:
        return
    label = _input("label", ir.DataType.INT64, batch)
    _feed(model, by_name[inputs.label.name], label, _label_steps(model, label, inputs.label, inputs.one_hot))
    model.graph.inputs.append(label)


def _label_steps(model: ir.Model, label: ir.Value, wanted: Input, one_hot: bool) -> list[ir.Node]:
    """Return the nodes that give label int64 [N] the form that the graph wants."""
    dtype = ir.DataType.from_numpy(np.dtype(wanted.dtype))
    dtype = ir.DataType.FLOAT if dtype in _OTHER_FLOATS else dtype
    if one_hot:
        classes = math.prod(wanted.shape)
        table = np.eye(classes, dtype=dtype.numpy()).reshape(classes, *wanted.shape)
        return [_node("Gather", [_constant(model, "label/rows", table), label], "label/one_hot", dtype)]
    steps = _reshape(model, label, wanted.shape) if wanted.shape else []
    if dtype != ir.DataType.INT64:
        last = steps[-1].outputs[0] if steps else label
        steps.append(_node("Cast", [last], "label/cast", dtype, {"to": dtype}))
    return steps


def _input(name: str, dtype: ir.DataType, *shape: Any) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def _node(
    operator: str,
    inputs: list[ir.Value],
    name: str,
    dtype: ir.DataType,
    attributes: dict[str, Any] | None = None,
) -> ir.Node:
    node = ir.node(operator, inputs, attributes=attributes or {}, name=name)
    node.outputs[0].name, node.outputs[0].type = name, ir.TensorType(dtype)
    return node


def _constant(model: ir.Model, name: str, array: NDArray[Any]) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    model.graph.register_initializer(value)
    return value


def _reshape(model: ir.Model, value: ir.Value, rest: tuple[int, ...]) -> list[ir.Node]:
    """Return a node that gives `value` the shape [N, *rest]."""
    shape = _constant(model, f"{value.name}/shape", np.array([-1, *rest]))
    return [_node("Reshape", [value, shape], f"{value.name}/reshape", value.dtype or ir.DataType.FLOAT)]


def _feed(model: ir.Model, old: ir.Value, new: ir.Value, steps: list[ir.Node]) -> None:
    """Put `new`, through some nodes, in the place of the input `old`."""
    first = model.graph[0]
    users = list(old.uses())
    for node in steps:
        model.graph.insert_before(first, node)
    value = steps[-1].outputs[0] if steps else new
    for user, index in users:
        user.replace_input_with(index, value)


def _take_images(model: ir.Model, matched: Matched, images: ir.Value) -> None:
    """Make the images the one output, float32 [N, C, H, W]."""
    producer = images.producer()
    if matched.layout == "NHW":
        shape = _constant(model, "images/shape", np.array([-1, *matched.size]))
        node = _node("Reshape", [images, shape], "images/nchw", ir.DataType.FLOAT)
        model.graph.append(node)
        (images,) = node.outputs
    elif matched.layout == "NHWC":
        if (
            producer is not None
            and producer.op_type == "Transpose"
            and producer.attributes.get_ints("perm") == [0, 2, 3, 1]
            and producer.inputs[0] is not None
            and producer.inputs[0].producer() is not None
        ):
            images = producer.inputs[0]  # as tf2onnx ends a graph: undone rather than done twice
        else:
            node = _node("Transpose", [images], "images/nchw", ir.DataType.FLOAT, {"perm": [0, 3, 1, 2]})
            model.graph.append(node)
            (images,) = node.outputs
    images.name, images.shape = "images", ir.Shape([matched.inputs.batch or "N", *matched.size])
    model.graph.outputs[:] = [images]

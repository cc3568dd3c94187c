"""Convert an ONNX graph from elsewhere (torch, or Keras and tf2onnx) to gantool's graph contract.

before: any tensor names, shape of z, float types and layout, as far as `original` accepts them
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
from gantool.export.graph.inputs import GeneratorInterface, InputFormat
from gantool.export.graph.names import free_names
from gantool.export.graph.original import Original
from gantool.export.graph.padding import write_paddings
from gantool.export.graph.simplify import simplify
from gantool.export.options import Foreign
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import reason_of

_LARGEST = float(np.finfo(np.float32).max)
_OTHER_FLOATS = (ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def import_onnx(path: Path, foreign: Foreign, oldest: int) -> tuple[ir.Model, Metadata, Original]:
    """Return the float graph of `path`, its metadata, and the original to compare it with.

    Converts an opset older than `oldest` to `oldest`. Raises GantoolError, with the graph's inputs and outputs, if
    it is not a generator.
    """
    proto = _load_in_float32(path)
    unused = _remove_unused_inputs(proto)
    original = Original(path, proto, foreign)
    original.notes += [f"its input {name} is unused, and removed" for name in unused]
    interface = original.interface
    (images,) = [value for value in proto.graph.output if value.name == interface.images]
    del proto.graph.output[:]  # another output may be an input that is passed on, which the passes reject
    proto.graph.output.append(images)
    model = ir.from_proto(_to_opset(path, proto, oldest))
    _normalize(model, original)
    _apply_contract(model, interface, foreign)
    channels, height, width = interface.size
    metadata = Metadata.of(
        architecture=model.graph.name or "onnx",
        image=(height, width, channels),
        latent=interface.inputs.latent,
        distribution=foreign.distribution,
        classes=foreign.classes,
        data=path.name,
    )
    return model, metadata, original


def _load_in_float32(path: Path) -> onnx.ModelProto:
    """Return the graph, in float32 if it has types whose layers ONNX Runtime cannot run on a CPU."""
    proto = load_whole(path)
    without_kernels = (onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    if any(tensor.data_type in without_kernels for tensor in tensors(proto)):
        model = ir.from_proto(proto)
        InlinePass()(model)
        _to_float32(model)
        proto = ir.to_proto(model)
    return proto


def _to_opset(path: Path, proto: onnx.ModelProto, oldest: int) -> onnx.ModelProto:
    """Return the graph with at least opset `oldest`. Raises GantoolError if the converter fails."""
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset >= oldest:
        return proto
    # before IR version 4 a weight must also be an input, or the converter does not find it
    proto.ir_version = max(proto.ir_version, 4)
    try:
        return onnx.version_converter.convert_version(proto, oldest)
    except Exception as error:  # the converter's exceptions have no common base
        raise GantoolError(
            f"{path} has opset {opset} and does not convert to {oldest} ({reason_of(error)}): export it again"
        ) from error


def _normalize(model: ir.Model, original: Original) -> None:
    """Convert to float32, simplify, and write explicit paddings, in place."""
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


def _apply_contract(model: ir.Model, interface: GeneratorInterface, foreign: Foreign) -> None:
    """Give the graph the contract's inputs and output, scale its images, and fold BatchNorm, in place."""
    by_name = {value.name: value for value in (*model.graph.inputs, *model.graph.outputs)}
    free_names(model)
    _take_inputs(model, interface, by_name)
    _take_images(model, interface, by_name[interface.images])
    RemoveUnusedNodesPass()(model)  # nodes of other outputs
    for index, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{index}"
    ClearMetadataAndDocStringPass()(model)
    ShapeInferencePass()(model)
    add_range(model, foreign)
    fold_batchnorm(model)
    model.metadata_props.clear()


def _remove_unused_inputs(model: onnx.ModelProto) -> list[str]:
    """Remove the inputs that no node reads, such as an unused label, in place; return their names."""
    used = {value.name for value in model.graph.output} | set(_names_read(model.graph))
    initializers = {weight.name for weight in model.graph.initializer}
    unused = [value for value in model.graph.input if value.name not in used | initializers]
    for value in unused:
        model.graph.input.remove(value)
    return [value.name for value in unused]


def _names_read(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the values that the nodes of a graph and of its subgraphs read."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _names_read(inner)
                yield from (value.name for value in inner.output)


def _to_float32(model: ir.Model) -> None:
    """Convert every value of another float type to float32, in place."""
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
    array = tensor.numpy()
    if array.dtype == np.float64:  # masks have its lowest number, and -inf times 0 would be NaN
        array = np.where(np.isinf(array), array, np.clip(array, -_LARGEST, _LARGEST))
    return ir.tensor(array.astype(np.float32), name=tensor.name)


def _take_inputs(model: ir.Model, interface: GeneratorInterface, by_name: dict[str | None, ir.Value]) -> None:
    """Make z [N, L] and label int64 [N] the inputs; Reshape, Gather or Cast nodes convert them to the old ones."""
    inputs = interface.inputs
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


def _label_steps(model: ir.Model, label: ir.Value, wanted: InputFormat, one_hot: bool) -> list[ir.Node]:
    """Return the nodes that convert label int64 [N] to the format of the original input."""
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
    """Replace the input `old` by `new`, converted by the nodes `steps`."""
    first = model.graph[0]
    users = list(old.uses())
    for node in steps:
        model.graph.insert_before(first, node)
    value = steps[-1].outputs[0] if steps else new
    for user, index in users:
        user.replace_input_with(index, value)


def _take_images(model: ir.Model, interface: GeneratorInterface, images: ir.Value) -> None:
    """Make the images the one output, float32 [N, C, H, W]."""
    producer = images.producer()
    if interface.layout == "NHW":
        shape = _constant(model, "images/shape", np.array([-1, *interface.size]))
        node = _node("Reshape", [images, shape], "images/nchw", ir.DataType.FLOAT)
        model.graph.append(node)
        (images,) = node.outputs
    elif interface.layout == "NHWC":
        if (
            producer is not None
            and producer.op_type == "Transpose"
            and producer.attributes.get_ints("perm") == [0, 2, 3, 1]
            and producer.inputs[0] is not None
            and producer.inputs[0].producer() is not None
        ):
            images = producer.inputs[
                0
            ]  # tf2onnx ends graphs with this Transpose: undo it, do not add its inverse
        else:
            node = _node("Transpose", [images], "images/nchw", ir.DataType.FLOAT, {"perm": [0, 3, 1, 2]})
            model.graph.append(node)
            (images,) = node.outputs
    images.name, images.shape = "images", ir.Shape([interface.inputs.batch or "N", *interface.size])
    model.graph.outputs[:] = [images]

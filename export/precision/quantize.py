"""Write INT8 into the graph as QuantizeLinear/DequantizeLinear pairs, placed where TensorRT fuses them.

A pair quantizes the data input of a layer, and a DequantizeLinear follows its INT8 weights. There is none between a
layer and its activation:

    x -> Q -> DQ -> ConvTranspose -> Relu -> Q -> DQ -> ConvTranspose ...
              DQ(weights int8) ---'

Scales are symmetric, since TensorRT does not take zero points: one for the data of a layer, and one for each output
channel of its weights. All nodes from a DQ to the next Q stay float32: a Cast after a DQ would prevent the fusion.
Source: NVIDIA, Developer Guide, "Working with Quantized Types".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.convenience import get_const_tensor

from gantool.export.graph.names import MIX
from gantool.export.precision.simulate import Arrays
from gantool.runtime.backends.quiet import import_onnxruntime

PERCENTILE = 99.99
_LEVELS = 127.0

ACTIVATIONS = ("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Tanh", "Sigmoid", "Clip")


def quantizable_nodes(model: ir.Model) -> list[ir.Node]:
    """Return the nodes whose weights can be INT8, in graph order. The mix of classes is not one: it is tiny."""
    return [
        node for node in model.graph if _channel_axis(node) is not None and not str(node.name).startswith(MIX)
    ]


def fused_activations(node: ir.Node) -> Iterator[ir.Node]:
    """Yield the nodes that a library fuses into a layer: its activation, and reshapes before that."""
    while len(users := [user for user, _ in node.outputs[0].uses()]) == 1:
        (node,) = users
        if node.op_type not in (*ACTIVATIONS, "DepthToSpace", "Reshape"):
            return
        yield node


def quantize(model: ir.Model, amax: dict[str, float]) -> set[str]:
    """Quantize the layers named in `amax` to INT8, in place; `amax` gives the largest magnitude of a layer's data.

    Returns the names of the nodes around the pairs that must stay float32.
    """
    pairs: dict[tuple[ir.Value, float], ir.Value] = {}
    pinned = set()
    for node in [node for node in quantizable_nodes(model) if node.name in amax]:
        data, axis, weight = node.inputs[0], _channel_axis(node), _weight(node)
        assert data is not None
        assert axis is not None
        assert weight is not None
        key = data, amax[str(node.name)]
        if key not in pairs:  # two layers may read the same value
            pairs[key] = _quantized_data(model.graph, node, *key)
        node.replace_input_with(0, pairs[key])
        node.replace_input_with(1, _quantized_weight(model.graph, node, weight.numpy(), axis))
        pinned |= {str(node.name), *(str(follower.name) for follower in fused_activations(node))}
    return pinned


def _weight(node: ir.Node) -> ir.TensorProtocol | None:
    """Return the second input of a node if it is constant."""
    value = node.inputs[1] if len(node.inputs) > 1 else None
    return None if value is None else get_const_tensor(value)


def _channel_axis(node: ir.Node) -> int | None:
    """Return the axis of the output channels in a node's weights; None if the node cannot be quantized."""
    weight = _weight(node)
    if weight is None:
        return None
    group = node.attributes.get_int("group", 1)
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose" and group == 1:  # with groups, an index of axis 1 is several channels
        return 1
    if node.op_type == "Gemm" and not node.attributes.get_int("transA", 0):
        return 0 if node.attributes.get_int("transB", 0) else 1
    return 1 if node.op_type == "MatMul" and len(weight.shape) == 2 else None


def _quantized_data(graph: ir.Graph, node: ir.Node, data: ir.Value, limit: float) -> ir.Value:
    scale = _constant(graph, f"{data.name}/{node.name}/scale", np.float32(limit / _LEVELS))
    zero = _constant(graph, f"{data.name}/{node.name}/zero", np.int8(0))
    there = ir.node("QuantizeLinear", [data, scale, zero], name=f"{node.name}/quantize")
    back = ir.node("DequantizeLinear", [there.outputs[0], scale, zero], name=f"{node.name}/dequantize")
    graph.insert_before(node, [there, back])
    for name, dtype, value in (
        ("int8", ir.DataType.INT8, there.outputs[0]),
        ("back", ir.DataType.FLOAT, back.outputs[0]),
    ):
        value.name, value.type, value.shape = (
            f"{data.name}/{node.name}/{name}",
            ir.TensorType(dtype),
            data.shape,
        )
    return back.outputs[0]


def _quantized_weight(graph: ir.Graph, node: ir.Node, weight: NDArray[np.float32], axis: int) -> ir.Value:
    others = tuple(index for index in range(weight.ndim) if index != axis)
    largest = np.abs(weight).max(others, keepdims=True)  # [1, O, 1, 1] for a ConvTranspose
    scale = np.where(largest, largest, 1) / np.float32(_LEVELS)
    integers = np.clip(np.rint(weight / scale), -_LEVELS, _LEVELS).astype(np.int8)
    name = f"{node.name}/weight"
    inputs = [
        _constant(graph, f"{name}/int8", integers),
        _constant(graph, f"{name}/scale", scale.reshape(-1).astype(np.float32)),
        _constant(graph, f"{name}/zero", np.zeros(scale.size, np.int8)),
    ]
    back = ir.node("DequantizeLinear", inputs, attributes={"axis": axis}, name=f"{name}/dequantize")
    graph.insert_before(node, back)
    (value,) = back.outputs
    value.name, value.type, value.shape = (
        f"{name}/back",
        ir.TensorType(ir.DataType.FLOAT),
        ir.Shape(tuple(weight.shape)),
    )
    return value


def _constant(graph: ir.Graph, name: str, array: NDArray[np.generic] | np.generic) -> ir.Value:
    tensor = ir.tensor(np.asarray(array), name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(np.shape(array)), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def calibrate(batches: Iterable[Arrays], names: Iterable[str], method: str) -> dict[str, float]:
    """Return the clipping magnitude of each value, from its activations over calibration seeds.

    minmax keeps the largest magnitude; percentile keeps 99.99 % of them; entropy minimizes the Kullback-Leibler
    divergence. Zeros are left out: a ReLU makes so many that they dominate the histogram, and they are exact in
    INT8.
    """
    wanted = set(names)
    values = [
        {name: value[value != 0] for name, value in batch.items() if name in wanted} for batch in batches
    ]
    if method == "minmax":
        return {
            name: max(*(float(np.abs(batch[name]).max(initial=0)) for batch in values), 1e-12)
            for name in wanted
        }
    calibrate = import_onnxruntime("onnxruntime.quantization.calibrate")
    collector = calibrate.HistogramCollector(
        method=method,
        symmetric=True,
        num_bins=2048,
        num_quantized_bins=128,
        percentile=PERCENTILE,
        scenario="same",
    )
    with redirect_stdout(StringIO()):  # the collector prints
        for batch in values:
            collector.collect({name: [value] for name, value in batch.items()})
        found = collector.compute_collection_result()
    return {name: max(float(np.abs(result[:2]).max()), 1e-12) for name, result in found.items()}

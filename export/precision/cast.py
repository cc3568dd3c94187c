"""Write FP16 or BF16 into the graph: the engine computes in the types of its graph.

Weights and arithmetic get the low type. The input `z` stays float32. The uint8 tail computes in float32, since the
resolution of FP16 (1/8 of a grey level near white) would change grey levels needlessly; so does the division by
alpha that makes straight RGBA. A node that stays in FP32 gets Casts around it, with none between two such nodes.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.convenience import get_const_tensor
from onnx_ir.passes.common import ShapeInferencePass

from gantool.export.graph.names import in_tail
from gantool.runtime.artifacts.recipe import Low
from gantool.runtime.errors import GantoolError

TYPES: dict[Low, ir.DataType] = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_LOW_TYPES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

# From this index on, an operator's inputs are float32 by its definition, whatever the type of its data.
_NOT_DATA = {"Resize": 1}
_FIXED = ("Cast", "QuantizeLinear", "DequantizeLinear")


def convert_precision(model: ir.Model, low: Low, keep: Collection[str]) -> None:
    """Rewrite an FP32 model in place to compute in `low`, except for the nodes named in `keep`.

    Raises GantoolError for a node with a subgraph.
    """
    ShapeInferencePass()(model)
    dtype, casts = TYPES[low], dict[tuple[ir.Value, ir.DataType], ir.Value]()
    for node in list(model.graph):
        if any(
            attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
            for attribute in node.attributes.values()
        ):
            raise GantoolError(
                f"node {node.name} ({node.op_type}) holds a subgraph: export it without control flow"
            )
        pinned = node.op_type in _FIXED or node.name in keep or in_tail(node.name)
        pinned = pinned or not _exists_in(node, dtype, model.opset_imports.get(node.domain))
        wanted = ir.DataType.FLOAT if pinned else dtype
        for index, value in enumerate(node.inputs):
            if value is None or value.dtype not in (ir.DataType.FLOAT, dtype) or value.dtype == wanted:
                continue
            if index < _NOT_DATA.get(node.op_type, len(node.inputs)):
                if (value, wanted) not in casts:
                    casts[value, wanted] = _cast(model.graph, node, value, wanted)
                node.replace_input_with(index, casts[value, wanted])
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT and not pinned:
                value.dtype = dtype
    for value in model.graph.outputs:
        if value.dtype == dtype:  # --output float
            _output_in_float(model.graph, value)


def _exists_in(node: ir.Node, dtype: ir.DataType, opset: int | None) -> bool:
    """Return whether ONNX defines an operator for `dtype`: it has no Celu in FP16, and no Einsum in BF16."""
    if opset is None or not onnx.defs.has(node.op_type, opset, node.domain):
        return True  # a custom operator: its library reports unsupported types
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    allowed = {entry.type_param_str: entry.allowed_type_strs for entry in schema.type_constraints}
    data = schema.inputs[: _NOT_DATA.get(node.op_type, len(schema.inputs))]
    used = [
        formal.type_str
        for formal, value in (
            *zip(data, node.inputs, strict=False),
            *zip(schema.outputs, node.outputs, strict=False),
        )
        if value is not None
    ]
    types = [allowed.get(name, [name]) for name in used]
    return all(f"tensor({dtype.name.lower()})" in each for each in types if "tensor(float)" in each)


def _cast(graph: ir.Graph, before: ir.Node, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Return `value` in `dtype`: a converted weight, or the output of a new Cast before the node `before`."""
    name = f"{value.name}/{dtype.name.lower()}"
    if (constant := get_const_tensor(value)) is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # overflow: the gate finds it
            array = constant.numpy().astype(dtype.numpy())
        converted = ir.Value(
            name=name,
            type=ir.TensorType(dtype),
            shape=value.shape,
            const_value=ir.tensor(array, dtype, name=name),
        )
        graph.register_initializer(converted)
        return converted
    node = ir.node("Cast", [value], attributes={"to": dtype}, name=name)
    graph.insert_before(before, node)
    return _named(node, name, dtype, value.shape)


def _output_in_float(graph: ir.Graph, value: ir.Value) -> None:
    name = value.name
    value.name = f"{name}/low"
    node = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT}, name=f"{name}/float")
    graph.append(node)
    graph.outputs[list(graph.outputs).index(value)] = _named(node, str(name), ir.DataType.FLOAT, value.shape)


def _named(node: ir.Node, name: str, dtype: ir.DataType, shape: ir.Shape | None) -> ir.Value:
    (output,) = node.outputs
    output.name, output.type, output.shape = name, ir.TensorType(dtype), shape
    return output


def is_reduced(graph: onnx.ModelProto) -> bool:
    """Return whether the graph has weights in FP16, BF16 or INT8 already."""
    types = {weight.data_type for weight in graph.graph.initializer}
    quantized = any(node.op_type == "DequantizeLinear" for node in graph.graph.node)
    return quantized or not types.isdisjoint(_LOW_TYPES)


def range_of(low: Low) -> float:
    """Return the largest finite value of `low`."""
    return float(np.finfo(np.float16).max) if low == "fp16" else 3.3895e38

"""List the layers of an ONNX graph with their types and multiply-adds. Needs only onnx."""

from __future__ import annotations

import math
from typing import Any

import onnx

from gantool.export.macs import Layer, of_convolution, of_product

Shapes = dict[str, list[Any]]


def shapes_of(graph: onnx.GraphProto) -> Shapes:
    """Return the shape of each value of a graph after shape inference; "?" for an unknown dimension."""
    values = (*graph.input, *graph.output, *graph.value_info)
    return {
        value.name: [dim.dim_value or dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim]
        for value in values
    }


def layers_of(graph: onnx.GraphProto, shapes: Shapes) -> list[Layer]:
    """Return the nodes of a graph, in order."""
    weights = {weight.name: weight for weight in graph.initializer}
    quantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    layers = []
    for node in graph.node:
        weight = weights.get(quantized.get(node.input[1], node.input[1])) if len(node.input) > 1 else None
        count, kind = 0, ""
        if weight is not None:
            count, kind = _multiply_adds(node, weight, shapes), type_name(weight.data_type)
        elif node.op_type == "MatMul":  # activations by activations, as in attention
            inner = [side for side in shapes.get(node.input[0], [])[-1:] if isinstance(side, int)]
            count = of_product(math.prod(inner), shapes.get(node.output[0], []))
            kind = type_name(types.get(node.input[0], onnx.TensorProto.UNDEFINED))
        layers.append(Layer(node.name, node.op_type, kind, count))
    return layers


def type_name(kind: int) -> str:
    try:
        return str(onnx.TensorProto.DataType.Name(kind))
    except ValueError:  # of a later onnx, or damaged
        return f"type {kind}"


def _multiply_adds(node: onnx.NodeProto, weight: onnx.TensorProto, shapes: Shapes) -> int:
    weights: int = math.prod(weight.dims)
    match node.op_type:
        case "Gemm":
            return weights
        case "MatMul":
            output = shapes.get(node.output[0], [])
            return of_product(weight.dims[-2:][0], output) if output else weights
        case "Conv" | "ConvTranspose":
            laid_on = node.output[0] if node.op_type == "Conv" else node.input[0]
            return of_convolution(weights, shapes.get(laid_on, [])[2:])
    return 0

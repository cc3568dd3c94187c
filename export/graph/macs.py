"""What the layers of a graph compute in, and their multiply-adds: by onnx alone, before any engine is built."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import onnx

from gantool.export.engine.layer_report import of_one_image

Shapes = dict[str, list[Any]]


@dataclass(frozen=True)
class Layer:
    """One node of a graph."""

    name: str
    kind: str  # its operator
    type: str  # of its weights, or of the data that a MatMul without weights multiplies; else ""
    multiply_adds: int  # for one image


def shapes_of(graph: onnx.GraphProto) -> Shapes:
    """Return the shape of each value of a graph after shape inference; "?" for a side that is not known."""
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
        elif node.op_type == "MatMul":  # of data by data, as in attention
            inner = [side for side in shapes.get(node.input[0], [])[-1:] if isinstance(side, int)]
            count = math.prod((*of_one_image(shapes.get(node.output[0], [])), *inner))
            kind = type_name(types.get(node.input[0], onnx.TensorProto.UNDEFINED))
        layers.append(Layer(node.name, node.op_type, kind, count))
    return layers


def type_name(kind: int) -> str:
    try:
        return str(onnx.TensorProto.DataType.Name(kind))
    except ValueError:  # of a later onnx, or damaged
        return f"type {kind}"


def by_type(layers: list[Layer]) -> dict[str, float]:
    """Return the share of the multiply-adds by type; they add up to 1."""
    counts = Counter[str]()
    for layer in layers:
        counts[layer.type] += layer.multiply_adds
    total = sum(counts.values()) or 1
    return {kind: count / total for kind, count in counts.items() if count}


def _multiply_adds(node: onnx.NodeProto, weight: onnx.TensorProto, shapes: Shapes) -> int:
    """Count those of one image: taps of a kernel times the pixels that it is laid on, a matrix times its rows."""
    taps: int = math.prod(weight.dims)
    if node.op_type == "Gemm":
        return taps
    if node.op_type == "MatMul":
        return taps * math.prod(of_one_image(shapes.get(node.output[0], [])[:-1]))
    if node.op_type not in ("Conv", "ConvTranspose"):
        return 0
    pixels = shapes.get(node.output[0] if node.op_type == "Conv" else node.input[0], [])[2:]
    return taps * math.prod(side for side in pixels if isinstance(side, int))

"""Add to a graph the conversion from premultiplied to straight RGBA that `models.alpha.Straight` does in PyTorch.

Written node by node and not traced, so that all its nodes have names by which the precision pass leaves them in
FP32: FP16 loses colours when it divides by a small alpha.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gantool.export.graph.names import STRAIGHT
from gantool.models.alpha import VISIBLE


def add_straight(model: ir.Model) -> None:
    """Turn the output from premultiplied to straight RGBA, float32 [N, 4, H, W] in [-1, 1], in place.

    As `models.alpha.straight`: colours are divided by alpha, within [0, 1], and are 0 where alpha is.
    """
    (images,) = model.graph.outputs
    images.name = "images_premultiplied"
    graph = _Writer(model.graph)
    half = graph.node("Mul", "half", [images, graph.number("half/factor", 0.5)])
    levels = graph.node("Add", "levels", [half, graph.number("levels/shift", 0.5)])  # [N, 4, H, W] in [0, 1]
    colours, alpha = graph.split("split", levels, graph.constant("split/sizes", np.array([3, 1])))
    least = graph.number("divisor/least", VISIBLE)
    divided = graph.node("Div", "divided", [colours, graph.node("Max", "divisor", [alpha, least])])
    zero, one = graph.number("clip/low", 0), graph.number("clip/high", 1)
    clipped = graph.node("Clip", "clip", [divided, zero, one])
    seen = graph.node("GreaterOrEqual", "visible", [alpha, least])  # [N, 1, H, W]
    shown = graph.node("Where", "colours", [seen, clipped, zero])  # [N, 3, H, W]
    straight = graph.node("Concat", "rgba", [shown, alpha], {"axis": 1})  # [N, 4, H, W]
    double = graph.node("Mul", "double", [straight, graph.number("double/factor", 2)])
    value = graph.node("Sub", "signed", [double, one])
    value.name, value.type, value.shape = "images", ir.TensorType(ir.DataType.FLOAT), images.shape
    model.graph.outputs[0] = value


class _Writer:
    """Appends nodes and constants to a graph, under names with the prefix STRAIGHT."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph

    def node(
        self, operator: str, name: str, inputs: list[ir.Value], attributes: Mapping[str, Any] | None = None
    ) -> ir.Value:
        """Append a node; return its output."""
        (output,) = self._append(ir.node(operator, inputs, attributes=attributes or {}), name)
        return output

    def split(self, name: str, value: ir.Value, sizes: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Append a Split of the channels in two."""
        first, second = self._append(
            ir.node("Split", [value, sizes], attributes={"axis": 1}, num_outputs=2), name
        )
        return first, second

    def number(self, name: str, value: float) -> ir.Value:
        """Register a scalar."""
        return self.constant(name, np.float32(value))

    def constant(self, name: str, value: NDArray[Any] | np.float32) -> ir.Value:
        """Register a constant."""
        array = np.asarray(value)
        tensor = ir.tensor(array, name=f"{STRAIGHT}/{name}")
        constant = ir.Value(
            name=tensor.name,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(array.shape),
            const_value=tensor,
        )
        self._graph.register_initializer(constant)
        return constant

    def _append(self, node: ir.Node, name: str) -> tuple[ir.Value, ...]:
        node.name = f"{STRAIGHT}/{name}"
        self._graph.append(node)
        for index, output in enumerate(node.outputs):
            output.name = node.name + (f"_{index}" if len(node.outputs) > 1 else "")
        return tuple(node.outputs)

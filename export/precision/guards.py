"""Find divisions whose epsilon, or whose divisor, underflows to 0 in the lower precision.

In FP16, x / sqrt(mean(x²) + 1e-8) divides by zero if all x are zero, since 1e-8 is 0. Such a division stays in
FP32, with the nodes that compute its divisor, up to the layers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.convenience import get_const_tensor

from gantool.export.graph.names import in_tail
from gantool.export.precision import quantize
from gantool.export.precision.cast import TYPES
from gantool.export.precision.simulate import Arrays
from gantool.runtime.artifacts.recipe import Low

DEPTH = 8  # nodes from a division back to its epsilon
_ENDS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", *(set(quantize.ACTIVATIONS) - {"Clip"}))


def underflowing(full: onnx.ModelProto, low: Low, values: Arrays) -> dict[str, str]:
    """Return the nodes of an FP32 graph that would divide by 0 in `low`, with the reason.

    Includes the nodes that compute the divisor.

    `values` are the graph's activations for some seeds, by name.
    """
    model = ir.from_proto(full)
    found: dict[str, str] = {}
    for node in model.graph:
        if in_tail(node.name):
            continue
        small = _epsilon(node)
        if small and _smallest_underflow(np.array(small, np.float32), low):
            found[str(node.name)] = f"its epsilon {small:.3g} is 0 in {low.upper()}"
        divisor = _divisor(node)
        if divisor is None:
            continue
        behind = list(upstream(model, divisor))
        numbers = [small for one in behind for small in _underflows(one, values, low)]
        if numbers:
            reason = f"its divisor {min(numbers):.3g} is 0 in {low.upper()}"
            found |= dict.fromkeys([str(node.name), *(str(one.name) for one in behind)], reason)
    return found


def upstream(model: ir.Model, value: ir.Value) -> Iterator[ir.Node]:
    """Yield the nodes that compute `value`, back to the nearest layers and activations, at most DEPTH steps."""
    layers = {id(node) for node in quantize.quantizable_nodes(model)}
    seen: set[int] = set()
    values = [value]
    for _ in range(DEPTH):
        nodes = [node for value in values if (node := value.producer()) is not None and id(node) not in seen]
        nodes = [node for node in nodes if id(node) not in layers and node.op_type not in _ENDS]
        seen |= {id(node) for node in nodes}
        yield from dict.fromkeys(nodes)
        values = [value for node in nodes for value in node.inputs if value is not None]


def _divisor(node: ir.Node) -> ir.Value | None:
    """Return the value that a node divides by or takes the logarithm of, else None."""
    if node.op_type == "Div":
        return node.inputs[1]
    if node.op_type in ("Reciprocal", "Log"):
        return node.inputs[0]
    if node.op_type == "Pow" and node.inputs[1] is not None:
        exponent = get_const_tensor(node.inputs[1])
        if exponent is not None and (exponent.numpy() < 0).any():
            return node.inputs[0]
    return None


def _epsilon(node: ir.Node) -> float:
    return float(node.attributes.get_float("epsilon", 0.0) or 0.0)


def _underflows(node: ir.Node, values: Arrays, low: Low) -> Iterator[float]:
    """Yield, for each constant and output of a node, its smallest magnitude that underflows to 0 in `low`."""
    constants = [get_const_tensor(value) for value in node.inputs if value is not None]
    arrays = [tensor.numpy() for tensor in constants if tensor is not None]
    arrays += [values[value.name] for value in node.outputs if value.name in values]
    for array in arrays:
        if array.dtype == np.float32 and (lost := _smallest_underflow(array, low)):
            yield lost


def _smallest_underflow(array: NDArray[np.float32], low: Low) -> float:
    """Return the smallest magnitude in an array that underflows to 0 in `low`; 0 if none does."""
    with np.errstate(over="ignore"):
        gone = np.abs(array[(array != 0) & (array.astype(TYPES[low].numpy()) == 0)])
    return float(gone.min()) if gone.size else 0.0

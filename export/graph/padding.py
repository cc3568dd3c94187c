"""Replace `auto_pad` and `output_shape` by explicit `pads`.

Runtimes interpret `auto_pad` and the `output_shape` of a ConvTranspose differently: OpenVINO makes other images
than ONNX Runtime. `pads` are unambiguous. They are computed as ONNX Runtime does, for each axis with n inputs, a
kernel k (dilated) and a stride s:

    Conv, pools   SAME: out = ceil(n / s); total padding max((out - 1) · s + k - n, 0)
    ConvTranspose SAME: out = n · s, or output_shape; total padding (n - 1) · s + output_padding + k - out

With SAME_UPPER the odd element of padding is at the end, else at the start. Sizes that shape inference does not
find are measured in a run.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import short

Shapes = dict[str, tuple[int, ...]]
# Index of the weights input of the operators with pads; a pool has its kernel as an attribute.
_WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3}
_POOLS = ("MaxPool", "AveragePool", "LpPool")


def write_paddings(model: ir.Model, measure: Callable[[list[str]], Shapes] | None = None) -> None:
    """Replace `auto_pad` and `output_shape` by `pads`, in place, and clear the shapes of all outputs.

    `measure` runs the graph and returns the shapes of values by name. Raises GantoolError, with the node, if a size
    is unknown.
    """
    nodes = [node for node in model.graph.all_nodes() if _leaves_it_open(node)]
    if not nodes:
        return
    unknown = [
        value
        for node in nodes
        for value in (_weight(node), node.inputs[0])
        if value is not None and not _known(value) and _within(model, value)
    ]
    measured = measure(sorted({str(value.name) for value in unknown})) if unknown and measure else {}
    found = [(node, _pads(node, measured)) for node in nodes]
    for node in model.graph.all_nodes():
        for output in node.outputs:
            output.shape = None  # with auto_pad, onnx infers other shapes than ONNX Runtime computes
    for value in unknown:
        if shape := measured.get(str(value.name)):
            value.shape = ir.Shape([None, *shape[1:]])
    for node, pads in found:
        for name in ("auto_pad", "output_shape", *(["ceil_mode"] if _mode(node) != "VALID" else [])):
            node.attributes.pop(name, None)
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)


def _leaves_it_open(node: ir.Node) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type not in (*_WEIGHTS, *_POOLS):
        return False
    return _mode(node) != "NOTSET" or "output_shape" in node.attributes


def _weight(node: ir.Node) -> ir.Value | None:
    """Return the weights of a node without kernel_shape, else None."""
    index = _WEIGHTS.get(node.op_type)
    return None if index is None or "kernel_shape" in node.attributes else node.inputs[index]


def _mode(node: ir.Node) -> str:
    return str(node.attributes.get_string("auto_pad", "NOTSET"))


def _known(value: ir.Value) -> bool:
    return value.shape is not None and all(isinstance(side, int) for side in list(value.shape)[2:])


def _within(model: ir.Model, value: ir.Value) -> bool:
    """Return whether a run can output a value: it cannot output those of subgraphs."""
    producer = value.producer()
    return producer is None or producer.graph is model.graph


def _sizes(value: ir.Value | None, measured: Shapes) -> list[int] | None:
    """Return the spatial shape of a value (without N and C); None if it is unknown."""
    if value is None:
        return None
    shape = list(value.shape) if _known(value) and value.shape else list(measured.get(str(value.name), ()))
    return [int(side) for side in shape[2:] if isinstance(side, int)] or None


def _pads(node: ir.Node, measured: Shapes) -> list[int]:
    """Return the pads, all starts and then all ends; write a larger `output_padding` to the node if needed."""
    mode = _mode(node)
    kernel = list(node.attributes.get_ints("kernel_shape", []) or [])
    kernel = kernel or _sizes(_weight(node), measured) or []
    if mode == "VALID" and "output_shape" not in node.attributes and kernel:
        return [0] * 2 * len(kernel)
    sizes = _sizes(node.inputs[0], measured)
    if sizes is None or len(kernel) != len(sizes):
        raise GantoolError(
            f"node {short(node.name or node.outputs[0].name)} ({node.op_type}) has auto_pad or output_shape, and "
            "the size of its input is not in the graph: export it with explicit pads"
        )
    ones = [1] * len(kernel)
    strides = list(node.attributes.get_ints("strides", ones) or ones)
    dilations = list(node.attributes.get_ints("dilations", ones) or ones)
    reach = [(taps - 1) * dilation + 1 for taps, dilation in zip(kernel, dilations, strict=True)]
    totals = []
    wanted = list(node.attributes.get_ints("output_shape", []) or [])[-len(kernel) :]
    more = list(node.attributes.get_ints("output_padding", [0] * len(kernel)) or [0] * len(kernel))
    for axis, size in enumerate(sizes):
        if node.op_type == "ConvTranspose":
            out = wanted[axis] if wanted else size * strides[axis]
            total = (size - 1) * strides[axis] + more[axis] + reach[axis] - out
            if total < 0:
                more[axis] -= total if wanted else 0  # it grows at its end
                total = 0
        else:
            total = max((-(-size // strides[axis]) - 1) * strides[axis] + reach[axis] - size, 0)
        totals.append(total)
    if any(more):
        node.attributes["output_padding"] = ir.AttrInt64s("output_padding", more)
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*small, *large] if mode == "SAME_UPPER" else [*large, *small]

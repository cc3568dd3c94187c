"""Write paddings as numbers, where a graph leaves them to whoever runs it.

`auto_pad` and the `output_shape` of a ConvTranspose are read in more than one way: OpenVINO makes other images of
them than ONNX Runtime. With `pads` there is nothing to read. The numbers are those that ONNX
Runtime takes, of each axis with n numbers in, a kernel k (dilated) and a stride s:

    Conv, pools   SAME: ceil(n / s) numbers out, so max((ceil(n / s) - 1) · s + k - n, 0) of padding
    ConvTranspose SAME: n · s out, or what output_shape says; (n - 1) · s + output_padding + k - out of padding

The odd one is at the end with SAME_UPPER, else at the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

_POOLS = ("MaxPool", "AveragePool", "LpPool")


def write_paddings(model: ir.Model) -> None:
    """Replace `auto_pad` and `output_shape` by `pads`, in place, where the sizes are known."""
    for node in model.graph.all_nodes():
        if node.domain not in ("", "ai.onnx") or node.op_type not in ("Conv", "ConvTranspose", *_POOLS):
            continue
        mode = node.attributes.get_string("auto_pad", "NOTSET")
        if mode == "NOTSET" and "output_shape" not in node.attributes:
            continue
        pads = _pads(node, str(mode))
        if pads is None:
            continue
        for name in ("auto_pad", "output_shape", "ceil_mode") if mode != "VALID" else ("auto_pad",):
            node.attributes.pop(name, None)
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)


def _pads(node: ir.Node, mode: str) -> list[int] | None:
    """Return the paddings, all starts and then all ends; None where a size is not known."""
    data = node.inputs[0]
    sizes = list(data.shape or ())[2:] if data is not None else []
    kernel = _kernel(node)
    if not sizes or kernel is None or len(kernel) != len(sizes):
        return None
    ones = [1] * len(kernel)
    strides = list(node.attributes.get_ints("strides", ones) or ones)
    dilations = list(node.attributes.get_ints("dilations", ones) or ones)
    reach = [(taps - 1) * dilation + 1 for taps, dilation in zip(kernel, dilations, strict=True)]
    if mode == "VALID" and "output_shape" not in node.attributes:
        return [0] * 2 * len(kernel)
    totals = []
    wanted = list(node.attributes.get_ints("output_shape", []) or [])[-len(kernel) :]
    more = list(node.attributes.get_ints("output_padding", [0] * len(kernel)) or [0] * len(kernel))
    for axis, size in enumerate(sizes):
        if not isinstance(size, int):
            return None
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


def _kernel(node: ir.Node) -> Sequence[int] | None:
    if (kernel := node.attributes.get_ints("kernel_shape")) is not None:
        return kernel
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    taps = list(weight.shape or ())[2:] if weight is not None else []
    return [int(side) for side in taps if isinstance(side, int)] if taps else None

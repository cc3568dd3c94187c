"""Lowering: rewrite transposed convolutions as other operators that give the same values.

The fastest form depends on device, library and batch, and DLA does not take a transposed convolution with padding.
A lowering works on the FP32 graph with BatchNorm folded, before the precision pass, and keeps N dynamic. It refuses
nodes that it cannot rewrite exactly, with a reason, and leaves them unchanged.

On one axis a transposed convolution with kernel k, stride s, pads p and output_padding e makes of x, [h],

    y[t] = bias + sum of W[a]·x[i]  over all a in 0..k-1 and i in 0..h-1 with s·i + a = t + p,  t in 0..H-1
    H = s·(h - 1) + k + e - 2·p

In two dimensions it does so on rows and columns, and sums over the input channels.

First layer, in every lowering. On h = w = 1 without padding, i is 0 and a is t, so

    y = Reshape(Gemm(x, W)),  x [N, L], W [L, O·k·k], each bias repeated k·k times,  y [N, O, k, k]

Phases. Let H = s·M and t = s·m + r with the phase r in 0..s-1. Then a = r + p - s·d with d = i - m, so each
phase is a convolution of stride 1 over x, which is zero outside:

    y[s·m + r] = bias + sum of V_r[d]·x[m + d] over d,  V_r[d] = W[r + p - s·d], zero where W has no such tap
    d from ceil((r + p - k + 1) / s) to floor((r + p) / s)

Its padding is -(lowest d) before and M - h + (highest d) after; where one would be negative, zero taps are added.
k4 s2 p1 has d in -1..0 and 0..1: four kernels of 2×2. k5 s2 p2 e1 has d in -1..1 and 0..1: 3×3, 3×2, 2×3, 2×2.
Stride 1 has one phase, the flipped kernel with padding k - 1 - p: one Conv in all lowerings but dla.

subpixel      One Conv to s·s·O channels with the kernels of all phases, then DepthToSpace (mode DCR: channel
              (s·r + c)·O + o is phase r, c of output channel o). Zero taps give all phases one window of d with
              the same padding at both ends: 3×3 with padding 1 for k4 s2 p1 and for k5 s2 p2 e1.
phases        One Conv for each of the s·s phases, Concat on channels, DepthToSpace. A layer whose phases have 16
              channels or fewer together, as the last of a generator, becomes subpixel: a convolution computes as
              many at a time.
phases-stack  The same convolutions, interleaved by Reshape: the phases c stacked on a new last axis, [N, O, M, M,
              s] to [N, O, M, W]; these of each r joined on the last axis, [N, O, M, s·W] to [N, O, H, W].
cpu           phases-stack, but such a layer stays a ConvTranspose, which ONNX Runtime computes as a matrix product.
dla           With p = e = 0 the same weights make H + 2·p - e values, and y starts at the p-th: ConvTranspose
              without padding, then Slice. Exact where e <= p.
dla-onehot    The Conv of subpixel, then as DepthToSpace a ConvTranspose of kernel s, stride s, no padding, whose
              weights [s·s·O, O, s, s] are 1 at [(s·r + c)·O + o, o, r, c], else 0.
              Both leave a node with p = e = 0 as it is: DLA takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.convenience import get_const_tensor, replace_nodes_and_values
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from gantool.export.options import Lowering

_BLOCK = 16  # channels that a convolution computes at a time, on CPUs with AVX-512

Array = NDArray[Any]
Phase = tuple[int, int]  # r of rows, c of columns


@dataclass(frozen=True)
class Lowered:
    """The ConvTranspose nodes that a lowering rewrote, and those that it refused."""

    rewritten: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()  # name and reason


def lower(model: ir.Model, name: Lowering) -> Lowered:
    """Rewrite the transposed convolutions of `model` in place; its inputs, outputs and values stay the same.

    Nodes that already have the lowering's form are neither rewritten nor refused.
    """
    if name == "none":
        return Lowered()
    ShapeInferencePass()(model)  # graphs from elsewhere may not carry their shapes
    rewritten, refused = [], []
    nodes = [node for node in model.graph if (node.domain, node.op_type) == ("", "ConvTranspose")]
    for node in nodes:
        node_name = node.name or str(node.outputs[0].name)
        try:
            old = _read(node, node_name)
            new = _rewrite(old, name)
        except _RefusedError as reason:
            refused.append((node_name, str(reason)))
            continue
        if new is None:
            continue
        for weight in old.tape.initializers:
            model.graph.register_initializer(weight)
        replace_nodes_and_values(model.graph, node, [node], old.tape.nodes, node.outputs, [new])
        rewritten.append(node_name)
    if rewritten:
        RemoveUnusedNodesPass()(model)  # the old weights
        ShapeInferencePass()(model)
    return Lowered(tuple(rewritten), tuple(refused))


class _RefusedError(Exception):
    """A node has no exact rewrite; raised before any new node is made."""


@dataclass(frozen=True)
class _Axis:
    """One axis of a transposed convolution."""

    size: int  # h
    kernel: int  # k
    stride: int  # s
    pad: int  # p
    extra: int  # e

    @property
    def output(self) -> int:  # H
        return self.stride * (self.size - 1) + self.kernel + self.extra - 2 * self.pad

    @property
    def growth(self) -> int:  # M - h
        return self.output // self.stride - self.size

    def window(self, phase: int) -> range:
        """Return the d of a phase, extended by zero taps where its padding would be negative."""
        lowest = -((self.kernel - 1 - phase - self.pad) // self.stride)
        highest = (phase + self.pad) // self.stride
        return range(min(lowest, 0), max(highest, -self.growth) + 1)

    def common_window(self) -> range:
        """Return the smallest window that contains those of all phases and pads both ends equally."""
        pad = max(max(self.padding(self.window(phase))) for phase in range(self.stride))
        return range(-pad, pad - self.growth + 1)

    def padding(self, window: range) -> tuple[int, int]:
        """Return the padding before and after."""
        return -window[0], self.growth + window[-1]

    def taps(self, phase: int, window: range) -> list[int]:
        """Return the index into W for each d; k (one past the end) stands for a zero tap."""
        taps = [phase + self.pad - self.stride * d for d in window]
        return [tap if 0 <= tap < self.kernel else self.kernel for tap in taps]


@dataclass(frozen=True)
class _Deconvolution:
    """A ConvTranspose node, and the tape that records the nodes which replace it."""

    name: str
    output: str  # name of its output
    x: ir.Value  # [N, C, h, w]
    weight: Array  # [C, O, k, k]
    bias: tuple[Array, ...]  # (), or one of [O]
    axes: tuple[_Axis, ...]  # rows, columns
    tape: ir.tape.Tape = field(default_factory=ir.tape.Tape)

    @property
    def phases(self) -> list[Phase]:
        """The phases in the order of DepthToSpace."""
        return [(row, column) for row, column in np.ndindex(*(axis.stride for axis in self.axes))]

    def op(self, part: str, operator: str, inputs: Sequence[ir.Value], **attributes: Any) -> ir.Value:
        """Make a node named after the old one."""
        value = self.tape.op(operator, inputs, attributes, name=f"{self.name}/{part}")
        # names of values are unique in a graph, names of nodes may repeat
        value.name = f"{self.output}/{part}"
        return value

    def constants(self, part: str, *arrays: Array | list[int]) -> list[ir.Value]:
        """Make initializers: weights and biases from arrays, int64 from lists."""
        names = [f"{self.output}/{part}/{index}" for index in range(len(arrays))]
        return list(map(self.tape.initializer, map(ir.tensor, arrays), names))


def _read(node: ir.Node, name: str) -> _Deconvolution:
    """Read a ConvTranspose node. Raises _RefusedError if no rewrite supports it."""
    x, *parameters = [value for value in node.inputs if value is not None]
    match list(x.shape or []):
        case [_, _, int(height), int(width)]:
            pass
        case shape:
            raise _RefusedError(f"input {shape} is not [N, C, h, w] with h and w known")
    attributes = {key: attribute.value for key, attribute in node.attributes.items()}
    for key, only in (("group", 1), ("dilations", (1, 1)), ("auto_pad", "NOTSET"), ("output_shape", ())):
        if (found := attributes.get(key, only)) != only:
            raise _RefusedError(f"{key} {found} is not {only}")
    pads = attributes.get("pads", (0, 0, 0, 0))
    if pads[:2] != pads[2:]:
        raise _RefusedError(f"pads {pads} differ at the two ends of an axis")
    weight, *bias = map(_constant, parameters)
    strides, extras = attributes.get("strides", (1, 1)), attributes.get("output_padding", (0, 0))
    axes = map(_Axis, (height, width), weight.shape[2:], strides, pads[:2], extras)
    return _Deconvolution(name, str(node.outputs[0].name), x, weight, tuple(bias), tuple(axes))


def _constant(value: ir.Value) -> Array:
    tensor = get_const_tensor(value)
    if tensor is None or value.is_graph_input():  # a caller may override the default of a graph input
        raise _RefusedError(f"weights {value.name} are not constant")
    return tensor.numpy()


def _rewrite(old: _Deconvolution, lowering: Lowering) -> ir.Value | None:
    """Return the value that replaces the node's output; None to keep the node. Raises _RefusedError."""
    rows, columns = old.axes
    if all(axis.pad == axis.extra == 0 for axis in old.axes):
        if rows.size == columns.size == 1:
            return _matrix_product(old)
        if lowering in ("dla", "dla-onehot"):
            return None
    if lowering == "dla":
        return _sliced(old)
    if rows.stride != columns.stride:
        raise _RefusedError(f"strides {rows.stride} and {columns.stride} differ")
    if rows.output % rows.stride or columns.output % columns.stride:
        raise _RefusedError(
            f"output {rows.output}×{columns.output} is not a multiple of stride {rows.stride}"
        )
    if rows.stride == 1:
        return _convolution(old, "conv", old.phases)
    few = len(old.phases) * old.weight.shape[1] <= _BLOCK
    if lowering == "cpu" and few:
        return None
    if lowering in ("cpu", "phases-stack"):
        return _stacked(old)
    if lowering == "phases" and not few:
        phases = old.op("concat", "Concat", [_one_phase(old, *phase) for phase in old.phases], axis=1)
    else:
        phases = _convolution(old, "conv", old.phases)  # [N, s·s·O, M, M]
    if lowering == "dla-onehot":
        return _one_hot(old, phases)
    return old.op("interleave", "DepthToSpace", [phases], blocksize=rows.stride, mode="DCR")  # [N, O, H, W]


def _matrix_product(old: _Deconvolution) -> ir.Value:
    matrix = old.weight.reshape(len(old.weight), -1)  # [L, O·k·k]
    bias = [np.repeat(bias, old.weight[0, 0].size) for bias in old.bias]  # [O·k·k]
    z = old.op("flatten", "Flatten", [old.x])  # [N, L]
    y = old.op("gemm", "Gemm", [z, *old.constants("gemm", matrix, *bias)])  # [N, O·k·k]
    shape = old.constants("reshape", [0, *old.weight.shape[1:]])  # 0 keeps N
    return old.op("reshape", "Reshape", [y, *shape])  # [N, O, k, k]


def _sliced(old: _Deconvolution) -> ir.Value:
    if any(axis.extra > axis.pad for axis in old.axes):
        raise _RefusedError("output_padding is more than pads")
    weights = old.constants("deconv", old.weight, *old.bias)
    whole = old.op("deconv", "ConvTranspose", [old.x, *weights], strides=[axis.stride for axis in old.axes])
    starts, ends = [axis.pad for axis in old.axes], [axis.pad + axis.output for axis in old.axes]
    return old.op("slice", "Slice", [whole, *old.constants("slice", starts, ends, [2, 3])])  # [N, O, H, W]


def _one_hot(old: _Deconvolution, phases: ir.Value) -> ir.Value:
    channels, stride = old.weight.shape[1], old.axes[0].stride
    weight = np.zeros((len(old.phases), channels, channels, stride, stride), old.weight.dtype)
    for index, (row, column) in enumerate(old.phases):
        weight[index, :, :, row, column] = np.eye(channels)
    weights = old.constants("interleave", weight.reshape(-1, channels, stride, stride))
    return old.op("interleave", "ConvTranspose", [phases, *weights], strides=[stride, stride])  # [N, O, H, W]


def _stacked(old: _Deconvolution) -> ir.Value:
    channels, stride, (height, width) = old.weight.shape[1], old.axes[0].stride, (a.output for a in old.axes)
    last, row_shape = old.constants("stack", [4], [0, channels, -1, width])
    rows = []
    for row in range(stride):
        phases = [
            old.op(f"unsqueeze_{row}_{column}", "Unsqueeze", [_one_phase(old, row, column), last])
            for column in range(stride)
        ]
        stack = old.op(f"stack_{row}", "Concat", phases, axis=4)  # [N, O, M, M, s]
        rows.append(old.op(f"row_{row}", "Reshape", [stack, row_shape]))  # [N, O, M, W]
    joined = old.op("concat", "Concat", rows, axis=3)  # [N, O, M, s·W]
    shape = old.constants("interleave", [0, channels, height, width])
    return old.op("interleave", "Reshape", [joined, *shape])  # [N, O, H, W]


def _one_phase(old: _Deconvolution, row: int, column: int) -> ir.Value:
    return _convolution(old, f"conv_{row}_{column}", [(row, column)])  # [N, O, M, M]


def _convolution(old: _Deconvolution, part: str, phases: list[Phase]) -> ir.Value:
    """Make one Conv: for one phase with its own window, or for all phases with the common window."""
    windows = list(map(_Axis.window, old.axes, phases[0]))
    if len(phases) > 1:
        windows = list(map(_Axis.common_window, old.axes))
    zero_beyond = np.pad(old.weight, ((0, 0), (0, 0), (0, 1), (0, 1)))  # [C, O, k + 1, k + 1]
    kernels = []
    for phase in phases:
        rows, columns = map(_Axis.taps, old.axes, phase, windows)
        kernels.append(zero_beyond[:, :, rows][:, :, :, columns].swapaxes(0, 1))  # [O, C, taps, taps]
    weights = old.constants(part, np.concatenate(kernels), *(np.tile(bias, len(phases)) for bias in old.bias))
    (top, bottom), (left, right) = map(_Axis.padding, old.axes, windows)
    return old.op(part, "Conv", [old.x, *weights], pads=[top, left, bottom, right])

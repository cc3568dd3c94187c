"""Count multiply-adds (MACs) of layers, and their shares by type."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """One node of a graph, or one layer of an engine."""

    name: str  # of the ONNX node
    kind: str  # its operator, or what the library calls it: DECONVOLUTION, ...
    type: str  # FLOAT, HALF, BF16, INT8 ...; UNKNOWN, or "" if it has no type
    multiply_adds: int  # for one image


def of_convolution(weights: int, pixels: Sequence[Any]) -> int:
    """Return the multiply-adds of a convolution: each of its `weights` is used once at each of `pixels` [H, W].

    Pixels are those of the output, or of the input of a transposed convolution. A dynamic dimension counts as 1.
    """
    return int(weights * math.prod(side for side in pixels if isinstance(side, int)))


def of_product(inner: int, output: Sequence[Any]) -> int:
    """Return the multiply-adds of a matrix product: each element of the `output` shape sums `inner` products."""
    return int(math.prod(_of_one_image(output)) * max(inner, 0))


def shares(layers: Iterable[Layer]) -> dict[str, float]:
    """Return the share of the multiply-adds by type, the largest first; they add up to 1."""
    counts = Counter[str]()
    for layer in layers:
        if layer.multiply_adds:
            counts[layer.type] += layer.multiply_adds
    return {kind: count / counts.total() for kind, count in counts.most_common()}


def _of_one_image(shape: Sequence[Any]) -> list[int]:
    """Return the dimensions without N. N is the dynamic dimension (-1 or a name), else the first.

    Attention may have N second. If N is folded into another dimension, [N·tokens, C], that one is left out too.
    """
    known = [side for side in shape if isinstance(side, int) and side >= 0]
    return known[1:] if len(known) == len(shape) else known

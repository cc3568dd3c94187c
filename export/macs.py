"""Multiply-adds: the layers of a graph or an engine, what each computes in, and how the work is shared out."""

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
    type: str  # FLOAT, HALF, BF16, INT8 ...; UNKNOWN, or "" where it has none
    multiply_adds: int  # for one image


def of_convolution(weights: int, pixels: Sequence[Any]) -> int:
    """Count those of a layer with so many `weights`: each is used at each pixel that the kernel is laid on.

    These are the pixels of the output; of a transposed convolution, those of the input. An open side counts as 1.
    """
    return int(weights * math.prod(side for side in pixels if isinstance(side, int)))


def of_product(inner: int, output: Sequence[Any]) -> int:
    """Count those of a matrix product: each element of the `output` shape is a sum of `inner` products."""
    return int(math.prod(_of_one_image(output)) * max(inner, 0))


def shares(layers: Iterable[Layer]) -> dict[str, float]:
    """Return the share of the multiply-adds by type, the largest first; they add up to 1."""
    counts = Counter[str]()
    for layer in layers:
        if layer.multiply_adds:
            counts[layer.type] += layer.multiply_adds
    return {kind: count / counts.total() for kind, count in counts.most_common()}


def _of_one_image(shape: Sequence[Any]) -> list[int]:
    """Return the sides without N's: the one that is open, which attention may put second, else the first.

    An open side is -1 or a name. N folded into another side, [N·tokens, C], takes that along.
    """
    known = [side for side in shape if isinstance(side, int) and side >= 0]
    return known[1:] if len(known) == len(shape) else known

"""Convolutions whose padding wraps around, for seamless textures: the right edge meets the left.

torch exports its own circular padding as Pad with mode wrap, which ONNX has only from opset 19; it always has Slice
and Concat. A transposed convolution wraps its input by n pixels, and cuts s·n more off each end of its output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gantool.models.config import NetworkConfig


class Wrap(nn.Module):
    """x, [N, C, h, w] -> [N, C, h + 2·pad, w + 2·pad], continued from the opposite edges."""

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        pad = self.pad
        x = torch.cat([x[:, :, -pad:], x, x[:, :, :pad]], 2)
        return torch.cat([x[:, :, :, -pad:], x, x[:, :, :, :pad]], 3)


def convolution(
    config: NetworkConfig, inputs: int, outputs: int, kernel: int, *, padding: int, **options: Any
) -> list[nn.Module]:
    """Return a convolution, whose padding wraps around if the images tile. `options` are those of nn.Conv2d."""
    if not config.tile:
        return [nn.Conv2d(inputs, outputs, kernel, padding=padding, **options)]
    return [Wrap(padding), nn.Conv2d(inputs, outputs, kernel, **options)]


def transposed(
    config: NetworkConfig,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int,
    padding: int,
    **options: Any,
) -> list[nn.Module]:
    """Return a transposed convolution, whose input wraps around if the images tile, as `convolution` does."""
    if not config.tile:
        return [nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=padding, **options)]
    pad = (kernel - 1 - padding) // stride  # the inputs beyond the edge that reach into the image
    return [
        Wrap(pad),
        nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=padding + stride * pad, **options),
    ]

"""Nearest upsampling and a 3×3 convolution, as one transposed convolution (Odena et al. 2016, Distill, e3).

Every pixel of the result lies under the same number of weights, so it has no checkerboard. Repeating each pixel and
convolving with w equals a transposed convolution of stride 2 whose 4×4 kernel is w, flipped and summed over 2×2
windows: 16 multiply-adds a weight in place of 36, without the large tensor between. An export folds the sum.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gantool.models.config import NetworkConfig
from gantool.models.tile import Wrap


class ResizeConv(nn.Conv2d):
    """x, [N, C, h, w] -> [N, C', 2h, 2w]. `weight` is that of the 3×3 convolution, [C', C, 3, 3]."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, wrapped: int) -> None:
        """`wrapped` is how many pixels of the opposite edge lie around x: the result leaves them out."""
        super().__init__(inputs, outputs, 3, bias=bias)
        self.wrapped = wrapped

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.flip(2, 3).transpose(0, 1)  # [C, C', 3, 3]
        # torch.onnx drops the divisor that avg_pool2d could take
        kernel = 4 * F.avg_pool2d(kernel, 2, stride=1, padding=1)  # [C, C', 4, 4]
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1 + 2 * self.wrapped)


def resize_convolution(config: NetworkConfig, inputs: int, outputs: int, *, bias: bool) -> list[nn.Module]:
    """Return layers that double the resolution; around the edges as `tile.convolution` does."""
    wrapped = 1 if config.tile else 0
    return [
        *([Wrap(wrapped)] if wrapped else []),
        nn.Identity(),  # in place of nn.Upsample, as earlier checkpoints count their layers
        ResizeConv(inputs, outputs, bias=bias, wrapped=wrapped),
    ]

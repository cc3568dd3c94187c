"""Self-attention: Zhang, Goodfellow, Metaxas and Odena 2019 (arXiv:1805.08318), section 3.

Every pixel reads from all others, weighed by how well its query fits their keys:

    y = x + gamma · out(softmax(query · key) · value)

gamma is learned and begins at 0, so a network begins as the one without. Keys and values are those of the largest
of 2×2 pixels, which takes a quarter of the memory. Matrix products and a softmax, spelled out: every engine has
them, and R1 and gradient penalties can differentiate them twice, which fused kernels cannot.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gantool.models.config import NetworkConfig


class SelfAttention(nn.Module):
    """x, float32 [N, C, h, w] with h and w even -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, half, 1, bias=False)
        self.out = nn.Conv2d(half, channels, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what its pixels, P = h·w of them, read from K = P / 4."""
        query = self.query(x).flatten(2).transpose(1, 2)  # [N, P, C/8]
        key = self.pool(self.key(x)).flatten(2)  # [N, C/8, K]
        value = self.pool(self.value(x)).flatten(2).transpose(1, 2)  # [N, K, C/2]
        weights = (query @ key).softmax(2)  # [N, P, K]; each pixel's add up to 1
        read = (weights @ value).transpose(1, 2).unflatten(2, x.shape[2:])  # [N, C/2, h, w]
        y: Tensor = x + self.gamma * self.out(read)
        return y


def attention_at(config: NetworkConfig, resolution: int, channels: int) -> list[nn.Module]:
    """Return the attention that stands behind the layers of a resolution: one block, or none."""
    return [SelfAttention(channels)] if resolution == config.attention else []

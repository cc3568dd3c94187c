"""Self-attention: Zhang, Goodfellow, Metaxas and Odena 2019 (arXiv:1805.08318), section 3.

Every pixel attends to all others, weighted by how well its query matches their keys:

    y = x + gamma · out(softmax(query · key) · value)

gamma is learned and starts at 0, so at first the block has no effect. Keys and values are max-pooled 2×2, which
takes a quarter of the memory. The code uses plain matrix products and softmax: every engine has them, and R1 and
the gradient penalty can differentiate them twice, which fused kernels do not support.
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
        """Return x plus the attention of its P = h·w pixels to K = P / 4 keys and values."""
        query = self.query(x).flatten(2).transpose(1, 2)  # [N, P, C/8]
        key = self.pool(self.key(x)).flatten(2)  # [N, C/8, K]
        value = self.pool(self.value(x)).flatten(2).transpose(1, 2)  # [N, K, C/2]
        weights = (query @ key).softmax(2)  # [N, P, K]; the sum over K is 1
        attended = (weights @ value).transpose(1, 2).unflatten(2, x.shape[2:])  # [N, C/2, h, w]
        y: Tensor = x + self.gamma * self.out(attended)
        return y


def attention_at(config: NetworkConfig, resolution: int, channels: int) -> list[nn.Module]:
    """Return the attention blocks to append after the layers of a resolution: one, or none."""
    return [SelfAttention(channels)] if resolution == config.attention else []

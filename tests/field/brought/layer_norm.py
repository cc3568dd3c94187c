"""The smallest generators with layer normalization, and with attention but none (own code)."""

import torch
from torch import nn


class Ln(nn.Module):
    def __init__(self, residual):
        super().__init__()
        self.a, self.n, self.b, self.residual = (
            nn.Linear(32, 64),
            nn.LayerNorm(64),
            nn.Linear(64, 192),
            residual,
        )

    def forward(self, z):
        x = self.a(z)
        x = x + self.n(x) if self.residual else self.n(x)
        return torch.tanh(self.b(x)).view(-1, 3, 8, 8)


class Mha(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.m, self.b = (
            nn.Linear(32, 16 * 32),
            nn.MultiheadAttention(32, 4, batch_first=True),
            nn.Linear(32, 12),
        )

    def forward(self, z):
        x = self.a(z).view(-1, 16, 32)
        x = x + self.m(x, x, x, need_weights=False)[0]
        return torch.tanh(self.b(x)).view(-1, 3, 8, 8)


def plain():
    torch.manual_seed(0)
    return Ln(False).eval()


def residual():
    torch.manual_seed(0)
    return Ln(True).eval()


def attention():
    torch.manual_seed(0)
    return Mha().eval()

"""A ProGAN-like generator (own code): pixel norm, equalized learning rate by multiplying the weight in forward, a depth and
an alpha argument, linear to-RGB."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class EqConv(nn.Module):
    def __init__(self, i, o, k, p):
        super().__init__()
        self.w = nn.Parameter(torch.randn(o, i, k, k))
        self.b = nn.Parameter(torch.zeros(o))
        self.s, self.p = math.sqrt(2 / (i * k * k)), p

    def forward(self, x):
        return F.conv2d(x, self.w * self.s, self.b, padding=self.p)


def pixel_norm(x):
    return x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)


class ProGan(nn.Module):
    def __init__(self, alpha_argument=False, tail="tanh"):
        super().__init__()
        self.first = nn.ConvTranspose2d(64, 64, 4)
        self.convs = nn.ModuleList(EqConv(64, 64, 3, 1) for _ in range(3))
        self.rgb = nn.ModuleList(EqConv(64, 3, 1, 0) for _ in range(4))
        self.tail = tail
        if alpha_argument:
            self.forward = self.faded

    def faded(self, z, alpha, depth):
        x = F.leaky_relu(pixel_norm(self.first(pixel_norm(z)[:, :, None, None])), 0.2)
        for i in range(depth):
            old, x = x, pixel_norm(F.leaky_relu(self.convs[i](F.interpolate(x, scale_factor=2)), 0.2))
        return alpha * self.rgb[depth](x) + (1 - alpha) * F.interpolate(
            self.rgb[depth - 1](old), scale_factor=2
        )

    def forward(self, z):
        x = pixel_norm(z) if z.dim() == 4 else pixel_norm(z)[:, :, None, None]
        x = pixel_norm(F.leaky_relu(self.first(x), 0.2))
        for conv in self.convs:
            x = pixel_norm(F.leaky_relu(conv(F.interpolate(x, scale_factor=2)), 0.2))
        x = self.rgb[3](x)
        return torch.tanh(x) if self.tail == "tanh" else x


def linear_end():
    torch.manual_seed(0)
    return ProGan(tail="none")


def make():
    torch.manual_seed(0)
    return ProGan()


def with_alpha():
    torch.manual_seed(0)
    return ProGan(alpha_argument=True)

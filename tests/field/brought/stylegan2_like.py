"""A small style-based generator (own code): mapping network with pixel norm, modulated convolutions written as one
grouped convolution over the whole batch, noise buffers or fresh noise, skip to-RGB, no tanh at the end."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class EqualLinear(nn.Module):
    def __init__(self, i, o, bias=0.0, lr=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(o, i) / lr)
        self.bias = nn.Parameter(torch.full((o,), bias))
        self.scale = lr / math.sqrt(i)

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias)


class ModConv(nn.Module):
    def __init__(self, i, o, k, style, demod=True, up=False, grouped=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, o, i, k, k))
        self.style = EqualLinear(style, i, 1.0)
        self.demod, self.up, self.k, self.grouped = demod, up, k, grouped
        self.scale = 1 / math.sqrt(i * k * k)

    def forward(self, x, w):
        n, i, h, side = x.shape
        s = self.style(w)
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            h, side = h * 2, side * 2
        if self.grouped:  # weights of each image, one grouped convolution: groups = batch
            weight = self.scale * self.weight * s.view(n, 1, i, 1, 1)
            if self.demod:
                weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4], keepdim=True) + 1e-8)
            x = x.reshape(1, n * i, h, side)
            x = F.conv2d(x, weight.reshape(-1, i, self.k, self.k), padding=self.k // 2, groups=n)
            return x.reshape(n, -1, h, side)
        weight = self.scale * self.weight[0]  # scale activations instead: the form that exports
        y = F.conv2d(x * s.view(n, i, 1, 1), weight, padding=self.k // 2)
        if self.demod:
            d = torch.rsqrt((weight.pow(2).sum([2, 3])[None] * s.pow(2)[:, None]).sum(2) + 1e-8)
            y = y * d[:, :, None, None]
        return y


class Noise(nn.Module):
    def __init__(self, side, fresh):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.1))
        self.fresh = fresh
        self.register_buffer("const", torch.randn(1, 1, side, side))

    def forward(self, x):
        noise = torch.randn(x.shape[0], 1, x.shape[2], x.shape[3]) if self.fresh else self.const
        return x + self.strength * noise


class Generator(nn.Module):
    def __init__(self, fresh=False, grouped=True, pair=False, size=32, style=64, clamp=False, gain=0.35):
        super().__init__()
        self.mapping = nn.Sequential(
            *[m for _ in range(4) for m in (EqualLinear(style, style, lr=0.01), nn.LeakyReLU(0.2))]
        )
        self.const = nn.Parameter(torch.randn(1, 32, 4, 4))
        self.blocks, self.noises, self.rgbs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        side = 4
        while side < size:
            side *= 2
            self.blocks.append(ModConv(32, 32, 3, style, up=True, grouped=grouped))
            self.noises.append(Noise(side, fresh))
            self.rgbs.append(ModConv(32, 3, 1, style, demod=False, grouped=grouped))
        self.pair, self.clamp, self.gain = pair, clamp, gain

    def forward(self, z):
        w = self.mapping(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))
        x, image = self.const.repeat(z.shape[0], 1, 1, 1), None
        for block, noise, rgb in zip(self.blocks, self.noises, self.rgbs):
            x = F.leaky_relu(noise(block(x, w)), 0.2) * math.sqrt(2)
            image = (
                rgb(x, w)
                if image is None
                else F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False) + rgb(x, w)
            )
        image = image * self.gain
        if self.clamp:
            image = image.clamp(-1, 1)
        return (image, w) if self.pair else image


def linear_end():  # as published: no tanh, a few values beyond ±1
    torch.manual_seed(0)
    return Generator(grouped=False, gain=0.5)


def clamped():
    torch.manual_seed(0)
    return Generator(grouped=False, clamp=True)


def grouped():
    torch.manual_seed(0)
    return Generator(grouped=True, clamp=True)


def fresh_noise():
    torch.manual_seed(0)
    return Generator(fresh=True, grouped=False, clamp=True)


def image_and_latent():  # returns (image, w), as many do
    torch.manual_seed(0)
    return Generator(grouped=False, clamp=True, pair=True)

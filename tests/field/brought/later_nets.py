"""Pieces of newer generators (own code): Fourier features and affine grid (StyleGAN3), multi-head attention and layer norm
(TransGAN, ViT decoders), blur by a fixed depthwise kernel (upfirdn), adaptive instance norm, local attention by unfold,
per-pixel MLP (CIPS), wavelet output by pixel shuffle."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def s(net):
    torch.manual_seed(0)
    return net().eval()


class Fourier(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine, self.freq, self.mix = (
            nn.Linear(32, 4),
            nn.Parameter(torch.randn(16, 2) * 4),
            nn.Sequential(nn.Conv2d(16, 32, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 3, 3, 1, 1)),
        )

    def forward(self, z):
        t = F.normalize(self.affine(z)[:, :2], dim=1)
        theta = torch.stack(
            [
                torch.stack([t[:, 0], -t[:, 1], z[:, 0] * 0.1], 1),
                torch.stack([t[:, 1], t[:, 0], z[:, 1] * 0.1], 1),
            ],
            1,
        )
        grid = F.affine_grid(theta, [z.shape[0], 1, 16, 16], align_corners=False)
        x = torch.sin(2 * math.pi * (grid.unsqueeze(3) @ self.freq.t()[None, None, None]).squeeze(3)).permute(
            0, 3, 1, 2
        )
        return torch.tanh(self.mix(x))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.pos = nn.Linear(32, 16 * 32), nn.Parameter(torch.randn(1, 16, 32))
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.out = nn.Linear(32, 48)

    def forward(self, z):
        x = self.layer(self.fc(z).view(-1, 16, 32) + self.pos)
        return torch.tanh(F.pixel_shuffle(self.out(x).transpose(1, 2).reshape(-1, 48, 4, 4), 4))


class Blur(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.a, self.b = (
            nn.Linear(32, 16 * 64),
            nn.ConvTranspose2d(16, 16, 3, 2),
            nn.Conv2d(16, 3, 1),
        )
        k = torch.tensor([1.0, 3, 3, 1])
        self.register_buffer("k", (k[:, None] * k)[None, None] / 16)

    def forward(self, z):
        x = self.a(self.fc(z).view(-1, 16, 8, 8))
        x = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.k.expand(16, 1, 4, 4), groups=16)
        return torch.tanh(2 * self.b(F.leaky_relu(x, 0.2)))


class AdaIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.st, self.conv, self.out = (
            nn.Parameter(torch.randn(1, 16, 8, 8)),
            nn.Linear(32, 32),
            nn.Conv2d(16, 16, 3, 1, 1),
            nn.Conv2d(16, 3, 1),
        )

    def forward(self, z):
        g, b = self.st(z).unsqueeze(2).unsqueeze(3).split(16, 1)
        x = F.instance_norm(self.conv(self.c.expand(z.shape[0], -1, -1, -1)))
        return torch.tanh(self.out(F.leaky_relu(F.interpolate((1 + g) * x + b, scale_factor=2), 0.2)))


class Cips(nn.Module):
    def __init__(self):
        super().__init__()
        y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
        self.register_buffer("xy", torch.stack([x, y], -1).view(1, 256, 2))
        self.a, self.b = nn.Linear(34, 64), nn.Linear(64, 3)

    def forward(self, z):
        h = torch.cat([self.xy.expand(z.shape[0], -1, -1), z.unsqueeze(1).expand(-1, 256, -1)], 2)
        return torch.tanh(self.b(torch.sin(3 * self.a(h)))).transpose(1, 2).reshape(-1, 3, 16, 16)


def fourier():
    return s(Fourier)


def vit():
    return s(Vit)


def blur():
    return s(Blur)


def adain():
    return s(AdaIn)


def cips():
    return s(Cips)

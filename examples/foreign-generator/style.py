"""A style-based generator as somebody else might have written it: plain PyTorch, no gantool. See README.md.

Written from the papers of Karras et al.: a mapping network (2018), modulated convolutions and sums of colours at
each size (2019). Its weights are random: `python style.py weights.pth` writes them, in place of a training.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT, CHANNELS, SIDE = 128, 32, 64


class Styled(nn.Module):
    """A convolution that scales its inputs by a style, and its outputs back to a variance of 1.

    Scaling the activations is the same as scaling the weights of each image, but one convolution computes the
    whole batch. A grouped convolution with a group for each image cannot be exported with a dynamic batch.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, normalized: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style = nn.Linear(LATENT, inputs)
        self.normalized = normalized

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return [N, outputs, H, W] of x, [N, inputs, H, W], and w, [N, 128]."""
        scale = 1 + self.style(w)  # [N, inputs]
        y = F.conv2d(x * scale[:, :, None, None], self.weight, padding=self.weight.shape[-1] // 2)
        if self.normalized:
            variance = scale.square() @ self.weight.square().sum((2, 3)).T  # [N, outputs]
            y = y * torch.rsqrt(variance + 1e-8)[:, :, None, None]
        return y + self.bias[:, None, None]


class Generator(nn.Module):
    """z, [N, 128] -> images, [N, 3, 64, 64], which may leave [-1, 1] a little."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(
            *(layer for _ in range(4) for layer in (nn.Linear(LATENT, LATENT), nn.LeakyReLU(0.2)))
        )
        self.constant = nn.Parameter(torch.randn(1, CHANNELS, 4, 4))
        doublings = SIDE.bit_length() - 3  # from 4 pixels
        self.blocks = nn.ModuleList(Styled(CHANNELS, CHANNELS, 3, normalized=True) for _ in range(doublings))
        self.colours = nn.ModuleList(Styled(CHANNELS, 3, 1, normalized=False) for _ in range(doublings))

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))
        x = self.constant.expand(z.shape[0], -1, -1, -1)
        image = torch.zeros(z.shape[0], 3, 4, 4)
        for block, colour in zip(self.blocks, self.colours, strict=True):
            x, image = (F.interpolate(each, scale_factor=2, mode="bilinear") for each in (x, image))
            x = F.leaky_relu(block(x, w), 0.2) * 2**0.5
            image = image + colour(x, w)
        return image / 4  # about [-1, 1]


def make() -> nn.Module:
    """Return the generator without its weights, for `gantool export --from style:make`."""
    return Generator()


def write(path: Path) -> None:
    """Write random weights, under the name that many projects give to the average of a training."""
    torch.manual_seed(0)
    generator = Generator()
    with torch.no_grad():  # with PyTorch's small weights, all seeds would look alike
        for layer in generator.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(std=(2 / LATENT) ** 0.5)
    torch.save({"g_ema": generator.state_dict()}, path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Residual networks as in SNGAN: Miyato et al. 2018 (arXiv:1802.05957), appendix B.4.

The blocks of the generator upsample by repeating pixels, then convolve. Those of the discriminator average 2×2
pixels. In the generator, BatchNorm comes after each convolution, not before it as in the paper, so that the export
can fold it into the convolution.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from gantool.models.attention import attention_at
from gantool.models.config import NetworkConfig
from gantool.models.dcgan import Flatten, stages
from gantool.models.tile import convolution


def generator_resnet(config: NetworkConfig, inputs: int) -> nn.Sequential:
    """Return a network from z with embedding, [N, inputs], to images, [N, C, H, W]."""
    first, channels = stages(config)
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels[0] * math.prod(first)),
        nn.Unflatten(1, (channels[0], *first)),  # [N, C, h, w]
        *attention_at(config, min(first), channels[0]),
    ]
    for doublings, (wide, narrow) in enumerate(pairwise([channels[0], *channels]), 1):
        layers += [
            _Up(config, wide, narrow),
            *attention_at(config, min(first) * 2**doublings, narrow),
        ]  # [N, C, 2h, 2w]
    return nn.Sequential(
        *layers, *convolution(config, channels[-1], config.channels, 3, padding=1), nn.Tanh()
    )


def discriminator_resnet(config: NetworkConfig) -> nn.Sequential:
    """Return a network from images to logits, [N, 1]."""
    first, channels = stages(config)
    channels = [config.channels, *channels[::-1]]
    layers: list[nn.Module] = []
    for halvings, (narrow, wide) in enumerate(pairwise(channels), 1):
        layers += [
            _Down(config, narrow, wide, image=halvings == 1),  # [N, C, h/2, w/2]
            *attention_at(config, min(config.size) // 2**halvings, wide),
        ]
    last = nn.Linear(channels[-1] * math.prod(first), 1)
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), Flatten(), last)


class _Up(nn.Module):
    def __init__(self, config: NetworkConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Upsample(scale_factor=2),
            *convolution(config, inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            *convolution(config, outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        # a 1×1 convolution before upsampling gives the same result as after it, for a quarter of the work
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Upsample(scale_factor=2))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.main(x) + self.skip(x))
        return out


class _Down(nn.Module):
    def __init__(self, config: NetworkConfig, inputs: int, outputs: int, image: bool) -> None:
        super().__init__()
        norm = config.discriminator_norm == "batch" and not image
        self.main = nn.Sequential(
            *([] if image else [nn.LeakyReLU(0.2)]),
            *convolution(config, inputs, outputs, 3, padding=1),
            *([nn.BatchNorm2d(outputs)] if norm else []),
            nn.LeakyReLU(0.2, inplace=True),
            *convolution(config, outputs, outputs, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.skip(x)
        return out

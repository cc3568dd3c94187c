"""Networks in the style of R3GAN: Huang, Gokaslan, Kuleshov and Tompkin 2024 (arXiv:2501.05441), section 4.

Residual blocks of a 1×1, a grouped 3×3 and a 1×1 convolution, without normalization. The last convolution of a
block starts at zero, so that the block starts as the identity. Intended for the relativistic loss with R1 and R2.
The paper resizes by interpolation; these networks repeat or average pixels, which every engine supports.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from gantool.models.attention import attention_at
from gantool.models.config import NetworkConfig
from gantool.models.dcgan import Flatten, stages
from gantool.models.tile import convolution

GROUP = 16  # channels per group
BLOCKS = 2  # at each resolution


def generator_r3gan(config: NetworkConfig, inputs: int) -> nn.Sequential:
    """Return a network from z with embedding, [N, inputs], to images, [N, C, H, W]."""
    first, channels = stages(config)
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels[0] * math.prod(first)),
        nn.Unflatten(1, (channels[0], *first)),  # [N, C, h, w]
    ]
    for doublings, (wide, narrow) in enumerate(pairwise([channels[0], *channels])):
        layers += [_Block(config, wide) for _ in range(BLOCKS)] + attention_at(
            config, min(first) * 2**doublings, wide
        )
        layers += [nn.Conv2d(wide, narrow, 1, bias=False), nn.Upsample(scale_factor=2)]  # [N, C, 2h, 2w]
    layers += [
        _Block(config, channels[-1]),
        *convolution(config, channels[-1], config.channels, 3, padding=1),
        nn.Tanh(),
    ]
    return _scaled(nn.Sequential(*layers))


def discriminator_r3gan(config: NetworkConfig) -> nn.Sequential:
    """Return a network from images to logits, [N, 1]."""
    first, channels = stages(config)
    channels = channels[::-1]
    layers = convolution(config, config.channels, channels[0], 3, padding=1)
    for halvings, (narrow, wide) in enumerate(pairwise([*channels, channels[-1]])):
        layers += [_Block(config, narrow) for _ in range(BLOCKS)] + attention_at(
            config, min(config.size) // 2**halvings, narrow
        )
        layers += [nn.AvgPool2d(2), nn.Conv2d(narrow, wide, 1, bias=False)]  # [N, C, h/2, w/2]
    layers += [_Block(config, channels[-1]), *attention_at(config, min(first), channels[-1])]
    layers += [Flatten(), nn.Linear(channels[-1] * math.prod(first), 1)]
    return _scaled(nn.Sequential(*layers))


class _Block(nn.Module):
    def __init__(self, config: NetworkConfig, channels: int) -> None:
        super().__init__()
        groups = channels // GROUP if channels % GROUP == 0 else 1
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.LeakyReLU(0.2, inplace=True),
            *convolution(config, channels, channels, 3, padding=1, groups=groups),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.main(x)
        return out


def _scaled(network: nn.Sequential) -> nn.Sequential:
    """Initialize weights by Kaiming, the last convolution of each block with zeros (Fixup); return the network."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if isinstance(layer, _Block):
            last = layer.main[-1]
            assert isinstance(last, nn.Conv2d)
            nn.init.zeros_(last.weight)
    return network

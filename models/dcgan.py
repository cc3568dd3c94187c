"""The deep convolutional GAN: Radford, Metz, Chintala 2015 (arXiv:1511.06434), and a 5×5 variant.

dcgan   Kernel 4, stride 2; BatchNorm; ReLU in the generator, LeakyReLU 0.2 in the discriminator. The first
        layer is the paper's "project and reshape": a matrix product from z to 4×4 (7×7 for 28 pixels).
dcgan5  As in the Keras tutorials: dense to 4×4×(8·width), then 5×5 transposed convolutions with strides
        1, 2, 2, 2; LeakyReLU 0.3; the discriminator has dropout 0.3 and no BatchNorm.

Both are plain stacks of layers, so every engine can run them.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from gantool.models.attention import attention_at
from gantool.models.config import NetworkConfig, Size
from gantool.models.resize import resize_convolution
from gantool.models.tile import convolution, transposed

MAX_WIDTHS = 16  # no layer has more than 16 times `width` channels, to limit the cost at 256 pixels


class Flatten(nn.Module):
    """[N, C, h, w] -> [N, h·w·C]: for channels-last tensors, as in training, a view instead of a copy.

    Its gradient is channels last too. The gradient of nn.Flatten is not, which slows down every earlier layer.
    """

    def forward(self, values: Tensor) -> Tensor:
        return values.permute(0, 2, 3, 1).flatten(1)


def stages(config: NetworkConfig) -> tuple[Size, list[int]]:
    """Return the first resolution, and the channels of each stage up to the layer before the image.

    64 pixels of width 64 give 4×4 and [512, 256, 128, 64]; 28 pixels give 7×7 and [128, 64]; 96×64 gives 6×4.
    """
    return config.first, [config.width * min(2**i, MAX_WIDTHS) for i in reversed(range(config.doublings))]


def generator_dcgan(config: NetworkConfig, inputs: int) -> nn.Sequential:
    """Return a network from z with embedding, [N, inputs], to images, [N, C, H, W]."""
    first, channels = stages(config)
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels[0] * math.prod(first), bias=False),  # [N, C·h·w]
        nn.Unflatten(1, (channels[0], *first)),  # [N, C, h, w]
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(inplace=True),
        *attention_at(config, min(first), channels[0]),
    ]
    for doublings, (wide, narrow) in enumerate(pairwise(channels), 1):
        layers += [
            *_double(config, wide, narrow, bias=False),  # [N, C/2, 2h, 2w]
            nn.BatchNorm2d(narrow),
            nn.ReLU(inplace=True),
            *attention_at(config, min(first) * 2**doublings, narrow),
        ]
    return nn.Sequential(*layers, *_double(config, channels[-1], config.channels, bias=True), nn.Tanh())


def discriminator_dcgan(config: NetworkConfig) -> nn.Sequential:
    """Return a network from images to logits, [N, 1]."""
    first, channels = stages(config)
    channels = channels[::-1]
    batch_norm = config.discriminator_norm == "batch"
    layers = [
        *_halve(config, config.channels, channels[0], 4, bias=True),
        nn.LeakyReLU(0.2, inplace=True),
        *attention_at(config, min(config.size) // 2, channels[0]),
    ]
    for halvings, (narrow, wide) in enumerate(pairwise(channels), 2):
        layers += [
            *_halve(config, narrow, wide, 4, bias=not batch_norm),  # [N, 2C, h/2, w/2]
            *([nn.BatchNorm2d(wide)] if batch_norm else []),
            nn.LeakyReLU(0.2, inplace=True),
            *attention_at(config, min(config.size) // 2**halvings, wide),
        ]
    return nn.Sequential(*layers, Flatten(), nn.Linear(channels[-1] * math.prod(first), 1))


def generator_dcgan5(config: NetworkConfig, inputs: int) -> nn.Sequential:
    """Return a network from z with embedding, [N, inputs], to images, [N, C, H, W]."""
    channels = [8 * config.width, 4 * config.width, 2 * config.width, config.width]
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels[0] * math.prod(config.first), bias=False),
        nn.BatchNorm1d(channels[0] * math.prod(config.first)),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Unflatten(1, (channels[0], *config.first)),  # [N, 8w, h, w]
    ]
    for (wide, narrow), stride in zip(pairwise(channels), (1, 2, 2), strict=True):
        layers += [
            *transposed(
                config, wide, narrow, 5, stride=stride, padding=2, output_padding=stride - 1, bias=False
            ),  # [N, C/2, stride·h, stride·w]
            nn.BatchNorm2d(narrow),
            nn.LeakyReLU(0.3, inplace=True),
        ]
    image = transposed(
        config, channels[-1], config.channels, 5, stride=2, padding=2, output_padding=1, bias=False
    )
    return nn.Sequential(*layers, *image, nn.Tanh())


def discriminator_dcgan5(config: NetworkConfig) -> nn.Sequential:
    """Return a network from images to logits, [N, 1]."""
    channels = [config.channels, config.width, 2 * config.width, 4 * config.width]
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(channels):
        layers += [
            *_halve(config, narrow, wide, 5, bias=True),  # [N, 2C, h/2, w/2]
            nn.LeakyReLU(0.3, inplace=True),
            nn.Dropout(0.3),
        ]
    return nn.Sequential(*layers, Flatten(), nn.Linear(channels[-1] * math.prod(config.first), 1))


def _halve(config: NetworkConfig, inputs: int, outputs: int, kernel: int, bias: bool) -> list[nn.Module]:
    """Return layers that halve the resolution: stride 2, or an odd kernel and 2×2 average pooling."""
    if config.downsampling == "strides":
        return convolution(config, inputs, outputs, kernel, stride=2, padding=(kernel - 1) // 2, bias=bias)
    odd = kernel - 1 + kernel % 2
    return [*convolution(config, inputs, outputs, odd, padding=odd // 2, bias=bias), nn.AvgPool2d(2)]


def _double(config: NetworkConfig, inputs: int, outputs: int, bias: bool) -> list[nn.Module]:
    """Return layers that double the resolution: a transposed convolution, or nearest upsampling and a 3×3 one."""
    if config.upsampling == "transposed":
        return transposed(config, inputs, outputs, 4, stride=2, padding=1, bias=bias)
    return resize_convolution(config, inputs, outputs, bias=bias)


def initialize(layer: nn.Module) -> None:
    """Initialize weights from N(0, 0.02) and the scale of BatchNorm from N(1, 0.02), as in the paper."""
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)

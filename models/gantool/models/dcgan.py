"""The deep convolutional GAN: Radford, Metz, Chintala 2015 (arXiv:1511.06434), and a 5×5 variant.

dcgan   Kernel 4, stride 2; BatchNorm; ReLU in the generator, LeakyReLU 0.2 in the discriminator. The first
        layer is the paper's "project and reshape": a matrix product from z to 4×4 (7×7 for 28 pixels).
dcgan5  As the Keras tutorials have it: dense to 4×4×(8·width), then 5×5 transposed convolutions with strides
        1, 2, 2, 2; LeakyReLU 0.3; the discriminator drops out 0.3 and has no BatchNorm.

A generator maps z, float32 [N, latent], to images, float32 [N, C, H, W] in [-1, 1]. A discriminator maps
images to logits, [N]: the logit of "real". Both are plain stacks of layers, so they export everywhere.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from gantool.models.config import NetworkConfig

MAX_WIDTHS = 16  # no layer has more than 16 times `width` channels, so 256 pixels stay affordable


class Generator(nn.Module):
    """z, float32 [N, latent] -> images, float32 [N, C, size, size] in [-1, 1]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = (
            _generator_dcgan5(config) if config.architecture == "dcgan5" else _generator_dcgan(config)
        )
        self.apply(_initialize)

    def forward(self, z: Tensor) -> Tensor:
        """Return images for z."""
        return cast(Tensor, self.layers(z))


class Discriminator(nn.Module):
    """images, float32 [N, C, size, size] in [-1, 1] -> logits, float32 [N]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = (
            _discriminator_dcgan5(config) if config.architecture == "dcgan5" else _discriminator_dcgan(config)
        )
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logit of "real" for each image."""
        return cast(Tensor, self.layers(images)).flatten()

    def probability(self, images: Tensor) -> Tensor:
        """Return the probability of "real" for each image, [N] in 0..1: the sigmoid of the logit."""
        return cast(Tensor, self(images)).sigmoid()


def _stages(config: NetworkConfig) -> tuple[int, list[int]]:
    """Return the first resolution, and the channels from there to the layer before the image.

    64 pixels of width 64 give 4 and [512, 256, 128, 64]; 28 pixels give 7 and [128, 64].
    """
    first = 7 if config.size == 28 else 4
    doublings = (config.size // first).bit_length() - 1
    return first, [config.width * min(2**i, MAX_WIDTHS) for i in reversed(range(doublings))]


def _generator_dcgan(config: NetworkConfig) -> nn.Sequential:
    first, channels = _stages(config)
    layers: list[nn.Module] = [
        nn.Linear(config.latent, channels[0] * first**2, bias=False),  # [N, C·h·w]
        nn.Unflatten(1, (channels[0], first, first)),  # [N, C, h, w]
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(inplace=True),
    ]
    for wide, narrow in pairwise(channels):
        layers += [
            nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),  # [N, C/2, 2h, 2w]
            nn.BatchNorm2d(narrow),
            nn.ReLU(inplace=True),
        ]
    image = nn.ConvTranspose2d(channels[-1], config.channels, 4, stride=2, padding=1)
    return nn.Sequential(*layers, image, nn.Tanh())


def _discriminator_dcgan(config: NetworkConfig) -> nn.Sequential:
    first, channels = _stages(config)
    channels = channels[::-1]
    layers = [*_halve(config, config.channels, channels[0], 4, bias=True), nn.LeakyReLU(0.2, inplace=True)]
    for narrow, wide in pairwise(channels):
        layers += [
            *_halve(config, narrow, wide, 4, bias=False),  # [N, 2C, h/2, w/2]
            nn.BatchNorm2d(wide),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * first**2, 1))


def _generator_dcgan5(config: NetworkConfig) -> nn.Sequential:
    channels = [8 * config.width, 4 * config.width, 2 * config.width, config.width]
    layers: list[nn.Module] = [
        nn.Linear(config.latent, channels[0] * 16, bias=False),
        nn.BatchNorm1d(channels[0] * 16),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Unflatten(1, (channels[0], 4, 4)),  # [N, 8w, 4, 4]
    ]
    for (wide, narrow), stride in zip(pairwise(channels), (1, 2, 2), strict=True):
        layers += [
            nn.ConvTranspose2d(
                wide, narrow, 5, stride, padding=2, output_padding=stride - 1, bias=False
            ),  # [N, C/2, stride·h, stride·w]
            nn.BatchNorm2d(narrow),
            nn.LeakyReLU(0.3, inplace=True),
        ]
    image = nn.ConvTranspose2d(channels[-1], config.channels, 5, 2, padding=2, output_padding=1, bias=False)
    return nn.Sequential(*layers, image, nn.Tanh())


def _discriminator_dcgan5(config: NetworkConfig) -> nn.Sequential:
    channels = [config.channels, config.width, 2 * config.width, 4 * config.width]
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(channels):
        layers += [
            *_halve(config, narrow, wide, 5, bias=True),  # [N, 2C, h/2, w/2]
            nn.LeakyReLU(0.3, inplace=True),
            nn.Dropout(0.3),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 16, 1))


def _halve(config: NetworkConfig, inputs: int, outputs: int, kernel: int, bias: bool) -> list[nn.Module]:
    """Convolve and halve the resolution: by a stride of 2, or by the mean of 2×2 after an odd kernel."""
    if config.downsampling == "strides":
        return [nn.Conv2d(inputs, outputs, kernel, stride=2, padding=(kernel - 1) // 2, bias=bias)]
    odd = kernel - 1 + kernel % 2
    return [nn.Conv2d(inputs, outputs, odd, padding=odd // 2, bias=bias), nn.AvgPool2d(2)]


def _initialize(layer: nn.Module) -> None:
    """Draw weights from N(0, 0.02) and BatchNorm's scale from N(1, 0.02), as the paper does."""
    if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)

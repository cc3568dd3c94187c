"""The distance of images from others, as a network learns to make it small: pixels and features, at several sizes.

The features are those of a random convolution, which sees edges and textures and needs no training.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

FEATURES = 32
_LEAST = 8  # pixels per side that are halved again


def distance(images: Tensor, targets: Tensor) -> Tensor:
    """Return the distance of images, [N, C, H, W] in [-1, 1], from targets, [N, C, H, W] or one for all: [N]."""
    weights = _random_convolution(images.shape[1]).to(images.device)
    total = torch.zeros(len(images), device=images.device)
    for image, target in zip(_pyramid(images), _pyramid(targets), strict=True):
        total = total + (image - target).square().mean((1, 2, 3))
        features, wanted = (conv2d(each, weights, padding=1).relu() for each in (image, target))
        total = total + (features - wanted).square().mean((1, 2, 3))
    return total


def pixel_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean difference of images from targets, [N, C, H, W], summed over their sizes: [N].

    For training beside a discriminator, which sees features: it takes a tenth of the time of `distance`.
    """
    total = torch.zeros(len(images), device=images.device)
    for image, target in zip(_pyramid(images), _pyramid(targets), strict=True):
        total = total + (image - target).abs().mean((1, 2, 3))
    return total


def squared_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of images from targets, [N, C, H, W]: [N].

    For images that are near their targets already: the few large errors, as where z is clipped, weigh most.
    """
    return (images - targets).square().mean((1, 2, 3))


def _pyramid(images: Tensor) -> Iterator[Tensor]:
    """Yield images at full size, at half of it, and so on."""
    yield images
    while min(images.shape[2:]) >= _LEAST:
        images = avg_pool2d(images, 2)
        yield images


@cache
def _random_convolution(channels: int) -> Tensor:
    """Return weights, [FEATURES, C, 3, 3], of norm 1."""
    weights = torch.randn(FEATURES, channels, 3, 3, generator=torch.Generator().manual_seed(0))
    return weights / weights.square().sum((1, 2, 3), keepdim=True).sqrt()

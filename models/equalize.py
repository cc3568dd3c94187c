"""Cross-layer equalization: give the channels of a layer's data similar ranges, without a change of the images.

INT8 data have one range for all channels, so a channel of small numbers has few levels. A factor that divides a
channel passes through ReLU and multiplies the weights of the next layer that read it: Nagel et al. 2019
(arXiv:1906.04721), with the balance of data and weights as in SmoothQuant (Xiao et al. 2023, arXiv:2211.10438).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile, pairwise

import torch
from torch import Tensor, nn

from gantool.models.network import Generator
from gantool.models.tile import Wrap

BALANCE = 0.75  # 1: the data of all channels get the same range; 0: their weights
MOST = 20.0  # the largest factor

_Chain = tuple[nn.BatchNorm2d, nn.Module, nn.Conv2d | nn.ConvTranspose2d]


def equalize(generator: Generator, inputs: tuple[Tensor, ...]) -> None:
    """Scale the channels between layers, in place. `inputs`, z [N, latent] and perhaps label [N], show ranges."""
    chains = list(_chains(generator))
    largest: dict[nn.Module, Tensor] = {}

    def measure(activation: nn.Module, _: object, data: Tensor) -> None:
        largest[activation] = data.abs().amax((0, 2, 3))  # [C]

    hooks = [activation.register_forward_hook(measure) for _, activation, _ in chains]
    with torch.no_grad():
        generator(*inputs)
        for hook in hooks:
            hook.remove()
        for norm, activation, layer in chains:
            # [C, O, k, k]
            weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.Conv2d) else layer.weight
            of_data, of_weights = (
                largest[activation].clamp(min=1e-6),
                weight.abs().amax((1, 2, 3)).clamp(min=1e-6),
            )
            factors = of_data**BALANCE / of_weights ** (1 - BALANCE)
            factors = (factors / factors.log().mean().exp()).clamp(1 / MOST, MOST)
            norm.weight.div_(factors)
            norm.bias.div_(factors)
            weight.mul_(factors[:, None, None, None])


def _chains(generator: Generator) -> Iterator[_Chain]:
    """Yield BatchNorm, ReLU and the layer after it, where nothing else reads the channels."""
    for block in generator.modules():
        layers = list(block.children()) if isinstance(block, nn.Sequential) else []
        for index, (norm, activation) in enumerate(pairwise(layers)):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(activation, nn.ReLU | nn.LeakyReLU):
                following = dropwhile(lambda each: isinstance(each, nn.Identity | Wrap), layers[index + 2 :])
                layer = next(following, None)
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.groups == 1:
                    yield norm, activation, layer

"""Thin versions of a generator: the first channels of each layer are a generator themselves.

A generator that was trained for it (Yu et al. 2018, Slimmable Neural Networks, arXiv:1812.08928) makes good images
at each of its widths. Any other generator is at least a start for training, once its channels are in the order of
their importance: `by_importance`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from gantool.models.batchnorm import recalibrate
from gantool.models.config import NetworkConfig
from gantool.models.network import Generator

_Weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
_Norm = nn.BatchNorm1d | nn.BatchNorm2d
_PLAIN = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Identity, nn.Unflatten)
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh)


def thin_config(config: NetworkConfig, share: float) -> NetworkConfig:
    """Return the config of the first channels of a generator: `share` of its width, at least one."""
    return replace(config, width=max(round(config.width * share), 1), elastic=())


def first_channels(generator: Generator, thin: Generator) -> dict[str, Tensor]:
    """Return the parameters of `thin`, as views of the first channels of those of a wide generator.

    `thin` differs from it in width only. Its own numbers are not read.
    """
    wide = dict(generator.named_parameters())
    return {name: _first(wide[name], own) for name, own in thin.named_parameters()}


def nested(wide: NetworkConfig, thin: NetworkConfig) -> bool:
    """Return whether the first channels of a generator are one of a thinner config.

    They are not where layers have other groups of channels: those of r3gan have 16 each, or all if 16 does not
    divide their number.
    """
    with torch.device("meta"):
        pairs = zip(Generator(wide).modules(), Generator(thin).modules(), strict=True)
        return all(_nested(one, other) for one, other in pairs if isinstance(other, nn.Conv2d))


def _nested(wide: nn.Module, thin: nn.Conv2d) -> bool:
    assert isinstance(wide, nn.Conv2d)
    read, own = (each.in_channels // each.groups for each in (wide, thin))  # by a channel
    return read == own or (thin.groups == 1 and own < read)


def thinned(generator: Generator, config: NetworkConfig) -> Generator:
    """Return a generator of the first channels of another, with a copy of their weights, in eval mode."""
    thin = Generator(config).to(next(generator.parameters()).device)
    wide = generator.state_dict()
    thin.load_state_dict({name: _first(wide[name], own) for name, own in thin.state_dict().items()})
    return recalibrate(thin)


def _first(wide: Tensor, own: Tensor) -> Tensor:
    return wide[tuple(slice(side) for side in own.shape)]


def by_importance(generator: Generator) -> None:
    """Put the channels of each layer into the order of their importance, in place: the images stay as they are.

    Importance is the scale of BatchNorm (Liu et al. 2017, Network Slimming, arXiv:1708.06519) times the norm of the
    weights that read the channel. Networks that are not a plain stack of layers stay as they are.
    """
    layers = list(generator.layers)
    weighted = [layer for layer in layers if isinstance(layer, _Weighted)]
    if not all(isinstance(layer, (*_PLAIN, *_ACTIVATIONS)) for layer in layers):
        return
    for before, after in pairwise(weighted):
        between = layers[layers.index(before) : layers.index(after)]
        _sort(before, next((layer for layer in between if isinstance(layer, _Norm)), None), after)


def _sort(before: _Weighted, norm: _Norm | None, after: _Weighted) -> None:
    """Sort the channels between two layers."""
    assert isinstance(after, (nn.Conv2d, nn.ConvTranspose2d))
    reads = 0 if isinstance(after, nn.ConvTranspose2d) else 1  # the axis of the channels that a layer reads
    channels = after.weight.shape[reads]
    with torch.no_grad():
        importance = after.weight.transpose(0, reads).flatten(1).norm(dim=1)  # [C]
        if norm is not None:
            scale = norm.weight.abs().reshape(channels, -1)  # a dense layer has one for each pixel, [C, h·w]
            importance = importance * scale.mean(1)
        order = importance.argsort(descending=True)
        _permute(after.weight, reads, order)
        writes = 1 if isinstance(before, nn.ConvTranspose2d) else 0
        for tensor, axis in ((before.weight, writes), (before.bias, 0)):
            if tensor is not None:
                _permute(tensor, axis, order)
        if norm is not None:
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                if tensor is not None:
                    _permute(tensor, 0, order)


def _permute(tensor: Tensor, axis: int, order: Tensor) -> None:
    """Permute channels along an axis, in place; if it has several entries a channel, those stay together."""
    sides = tensor.shape
    grouped = tensor.reshape(*sides[:axis], len(order), sides[axis] // len(order), *sides[axis + 1 :])
    tensor.copy_(grouped.index_select(axis, order).reshape(sides))

"""Smallest generators with spectral norm (own code), by the old hook and by the parametrization."""

import torch
from torch import nn


def _net(wrap):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Unflatten(1, (32, 1, 1)),
        wrap(nn.ConvTranspose2d(32, 32, 4)),
        nn.ReLU(),
        wrap(nn.ConvTranspose2d(32, 16, 4, 2, 1)),
        nn.ReLU(),
        wrap(nn.ConvTranspose2d(16, 3, 4, 2, 1)),
        nn.Tanh(),
    )
    net.train()
    with torch.no_grad():
        for _ in range(20):
            net(torch.randn(4, 32))
        net[-2].bias.mul_(0)
    return net.eval()


def hook():
    return _net(nn.utils.spectral_norm)


def parametrization():
    return _net(nn.utils.parametrizations.spectral_norm)

"""What a generator costs: multiply-adds (MACs) an image and weights; the width that a budget allows.

Nothing is computed: the networks are on torch's meta device, which has shapes and no numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from gantool.models.config import NetworkConfig
from gantool.models.network import Generator


@dataclass(frozen=True)
class Cost:
    """What a generator costs."""

    macs: int  # multiply-adds of one image
    weights: int


def cost(config: NetworkConfig) -> Cost:
    """Return what the generator of a config costs."""
    with torch.device("meta"), torch.no_grad():
        generator = Generator(config).eval()
        label = (torch.zeros(1, dtype=torch.int64),) if config.classes else ()
        with FlopCounterMode(display=False) as counter:
            generator(torch.empty(1, config.latent), *label)
    return Cost(counter.get_total_flops() // 2, sum(map(torch.numel, generator.parameters())))


def widest(config: NetworkConfig, macs: float | None, weights: float | None) -> NetworkConfig | None:
    """Return the config with the largest width up to its own that has at most so many; None if width 1 has more."""
    low, high = 0, config.width
    while low < high:
        middle = (low + high + 1) // 2
        found = cost(replace(config, width=middle))
        if found.macs <= (macs or math.inf) and found.weights <= (weights or math.inf):
            low = middle
        else:
            high = middle - 1
    return replace(config, width=low) if low else None

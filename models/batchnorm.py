"""BatchNorm statistics of weights that did not make them: of an average over training, or of the first channels."""

from __future__ import annotations

import torch
from torch import nn

from gantool.models.network import Generator
from gantool.models.sampling import config_inputs

SEEDS = range(1024)  # their images give the statistics
BATCH = 128


def recalibrate(generator: Generator) -> Generator:
    """Compute the BatchNorm statistics of a generator in place, and return it in eval mode.

    The seeds are fixed, so the random state of training does not change. A quantized generator keeps its
    statistics.
    """
    generator.train()
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    norms = [layer for layer in norms if layer.training]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages over all batches
    device = next(generator.parameters()).device
    inputs = config_inputs(generator.config, SEEDS, device)  # z [1024, latent], and label [1024] with classes
    with torch.no_grad():
        for part in zip(*(torch.split(each, BATCH) for each in inputs), strict=True) if norms else ():
            generator(*part)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return generator.eval()

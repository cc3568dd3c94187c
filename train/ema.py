"""The exponential moving average (EMA) of the generator's weights, which checkpoints contain."""

from __future__ import annotations

import torch
from torch import nn

from gantool.models import Generator
from gantool.models.sampling import config_inputs
from gantool.train.options import TrainingOptions
from gantool.train.state import TrainingState

SEEDS = range(1024)  # their images give the BatchNorm statistics
BATCH = 128


def update_ema(state: TrainingState, options: TrainingOptions) -> None:
    """Update the EMA after a step.

    Early in a run, the half-life is a share of the images seen, so that the EMA soon forgets the initial weights.
    """
    half_life = min(options.ema_kimg * 1000, options.ema_rampup * state.images_seen)
    weight = 1 - 0.5 ** (options.batch / max(half_life, 1e-8))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.ema.parameters()), list(state.generator.parameters()), weight)


def recalibrate_batchnorm(state: TrainingState) -> Generator:
    """Compute the BatchNorm statistics of the EMA, and return it in eval mode.

    The averaged weights do not fit the statistics of the generator that they average. The seeds are fixed, so the
    random state of training does not change.
    """
    ema = state.ema.train()
    norms = [layer for layer in ema.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages over all batches
    inputs = config_inputs(ema.config, SEEDS, state.device)  # z [1024, latent], and label [1024] with classes
    with torch.no_grad():
        for part in zip(*(torch.split(each, BATCH) for each in inputs), strict=True) if norms else ():
            ema(*part)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return ema.eval()

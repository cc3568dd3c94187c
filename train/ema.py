"""The exponential moving average (EMA) of the generator's weights, which checkpoints contain."""

from __future__ import annotations

import torch

from gantool.models import Generator
from gantool.models.batchnorm import recalibrate
from gantool.train.options import TrainingOptions
from gantool.train.state import TrainingState


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

    The averaged weights do not fit the statistics of the generator that they average.
    """
    return recalibrate(state.ema)

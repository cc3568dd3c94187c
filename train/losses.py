"""The losses of discriminator and generator, computed from logits. LOSSES has them by name.

non-saturating   Goodfellow et al. 2014 (arXiv:1406.2661, section 3). softplus(-x) is -log(sigmoid(x)) without the
                 overflow, so these are the binary cross-entropies.
hinge            Lim and Ye 2017 (arXiv:1705.02894)
wgan-gp          Gulrajani et al. 2017 (arXiv:1704.00028); the default of --gp is 10
relativistic     on pairs of a real and a generated image: Jolicoeur-Martineau 2018 (arXiv:1807.00734); --r1 and
                 --r2 default to 1, as in R3GAN (arXiv:2501.05441)

The default penalties of a loss are in options.py, which needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu, softplus


@dataclass(frozen=True)
class Loss:
    """One kind of loss, from logits, [N]; the mean over the batch."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # takes the logits of real and of generated images
    # takes the logits of generated images, and if `paired`, those of real images too
    generator: Callable[[Tensor, Tensor | None], Tensor]
    paired: bool = False  # the generator's loss also needs the logits of real images


def _non_saturating_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _non_saturating_generator(fake: Tensor, real: Tensor | None) -> Tensor:  # noqa: ARG001 (one signature for all)
    return softplus(-fake).mean()


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return relu(1 - real).mean() + relu(1 + fake).mean()


def _wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _critic_generator(fake: Tensor, real: Tensor | None) -> Tensor:  # noqa: ARG001
    return -fake.mean()


def _relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(fake - real).mean()


def _relativistic_generator(fake: Tensor, real: Tensor | None) -> Tensor:
    assert real is not None
    return softplus(real - fake).mean()


LOSSES: dict[str, Loss] = {
    "non-saturating": Loss(_non_saturating_discriminator, _non_saturating_generator),
    "hinge": Loss(_hinge_discriminator, _critic_generator),
    "wgan-gp": Loss(_wasserstein_discriminator, _critic_generator),
    "relativistic": Loss(_relativistic_discriminator, _relativistic_generator, paired=True),
}

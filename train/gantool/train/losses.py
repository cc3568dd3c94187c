"""The non-saturating GAN loss on logits (Goodfellow et al. 2014, arXiv:1406.2661, section 3).

softplus(-x) is -log(sigmoid(x)) without the overflow, so these are binary cross-entropies.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean loss of the discriminator from its logits for real and fake images, each [N]."""
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Return the mean loss of the generator from the discriminator's logits for its images, [N]."""
    return softplus(-fake).mean()

"""Penalties on the gradient of the discriminator's logits with respect to its images.

r1, r2   gamma/2 · |gradient|² at real (R1) or generated (R2) images: Mescheder, Geiger and Nowozin 2018
         (arXiv:1801.04406)
gp       weight · (|gradient| - 1)² between real and generated images: Gulrajani et al. 2017 (arXiv:1704.00028)

All are computed in float32: the squares of small gradients vanish in lower precision.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Logits = Callable[[Tensor], Tensor]  # images [N, C, H, W] -> logits [N]


def r1_penalty(logits: Logits, real: Tensor, gamma: float) -> Tensor:
    """Return the R1 penalty, the mean over a batch of real images."""
    return gamma / 2 * _gradient(logits, real).square().sum(1).mean()


def r2_penalty(logits: Logits, fake: Tensor, gamma: float) -> Tensor:
    """Return the R2 penalty: R1 at generated images."""
    return r1_penalty(logits, fake, gamma)


def gradient_penalty(logits: Logits, real: Tensor, fake: Tensor, weight: float) -> Tensor:
    """Return the penalty of WGAN-GP, at a random point between each real and generated image."""
    place = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(real.float(), fake.float(), place)
    penalty: Tensor = weight * (_gradient(logits, between).norm(dim=1) - 1).square().mean()
    return penalty


def _gradient(logits: Logits, images: Tensor) -> Tensor:
    """Return the gradient at each image, [N, C·H·W]; it is differentiable."""
    images = images.detach().float().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(logits(images).sum(), images, create_graph=True)
    return gradient.flatten(1)

"""Generate the images of seeds with a PyTorch generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantool.models.alpha import straight
from gantool.models.config import NetworkConfig
from gantool.models.network import Generator
from gantool.runtime.classes import labels
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import to_levels
from gantool.runtime.progress import task
from gantool.runtime.seeds import Seed
from gantool.runtime.spec import Images

BATCH = 256  # images in one pass, to limit memory


def seed_inputs(
    seeds: Sequence[Seed],
    latent: int,
    distribution: str,
    classes: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, ...]:
    """Return the generator's inputs for `seeds`: z, float32 [N, latent], and with classes a label, int64 [N]."""
    z = torch.from_numpy(latents(seeds, latent, distribution)).to(device)
    return (z, torch.from_numpy(labels(seeds, classes)).to(device)) if classes else (z,)


def config_inputs(
    config: NetworkConfig, seeds: Sequence[Seed], device: torch.device | str = "cpu"
) -> tuple[Tensor, ...]:
    """Return the inputs for `seeds` as `seed_inputs` does, for a network with this config."""
    return seed_inputs(seeds, config.latent, config.distribution, config.classes, device)


def float_images(module: nn.Module, inputs: tuple[Tensor, ...]) -> NDArray[np.float32]:
    """Return the images of a generator, float32 [N, C, H, W], on the CPU. RGBA is straight.

    A `Generator` of four channels makes premultiplied RGBA; other modules make straight RGBA themselves.
    """
    with torch.no_grad():
        images = module(*inputs).float()
        if isinstance(module, Generator):
            images = straight(images)
        made: NDArray[np.float32] = images.cpu().numpy()
    return made


def sample_images(
    generator: Generator, seeds: Sequence[Seed], bits: int = 8, of_class: NDArray[np.int64] | None = None
) -> Images:
    """Return the images of `seeds`, [N, H, W, C] of `bits`, on the generator's device; RGBA is straight.

    `of_class`, int64 [N], replaces the classes of the seeds, of a conditional generator.
    """
    device = next(generator.parameters()).device
    parts = []
    with task("generating", len(seeds), "images") as made:
        for start in range(0, len(seeds), BATCH):
            inputs = config_inputs(generator.config, seeds[start : start + BATCH], device)
            if of_class is not None:
                inputs = (inputs[0], torch.from_numpy(of_class[start : start + BATCH]).to(device))
            parts.append(to_levels(float_images(generator, inputs), bits))  # [n, H, W, C]
            made.update(min(start + BATCH, len(seeds)))
    return np.concatenate(parts)

"""One training step on one batch: the discriminator, then the generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantool.models.alpha import premultiplied
from gantool.runtime.spec import Images
from gantool.train.augment import PASSES, adapt, augment
from gantool.train.distributed import average_gradients, mean
from gantool.train.losses import LOSSES
from gantool.train.options import TrainingOptions
from gantool.train.penalties import gradient_penalty, r1_penalty, r2_penalty
from gantool.train.state import TrainingState, sample_latents

Classes = NDArray[np.int64]  # [N]
Batch = tuple[Images, Classes | None]  # [B, H, W, C], [B]


@dataclass(frozen=True)
class Losses:
    """The losses of one step, without the penalties, as tensors on the device."""

    discriminator: Tensor
    generator: Tensor
    real_signs: Tensor  # mean sign of the logits of real images; near 1: the data are memorized
    d_accuracy: Tensor  # share of images that the discriminator classifies correctly


def step(options: TrainingOptions, state: TrainingState, real: Images, labels: Classes | None) -> Losses:
    """Update the discriminator, then the generator, on real images, uint8 [B, H, W, C], and labels, [B].

    With `accumulate`, gradients accumulate over micro-batches. With several processes, B is this process's slice of
    the batch.
    """
    _warm_up(options, state)
    count = options.accumulate
    micro_batches = _split(real, labels, count)
    d_losses, g_losses = [], []
    with optimizer_step(state, state.discriminator, state.discriminator_optimizer):
        for images, classes in micro_batches:
            batch = _micro_batch(options, state, images, classes)
            d_losses.append(_discriminator_backward(options, state, batch))
    state.discriminator.requires_grad_(False)  # do not compute the gradients of its weights
    with optimizer_step(state, state.generator, state.generator_optimizer):
        for images, classes in micro_batches:
            if count > 1:  # generate again: the images of all micro-batches would not fit into memory
                batch = _micro_batch(options, state, images, classes)
            g_losses.append(_generator_backward(options, state, batch))
    state.discriminator.requires_grad_(True)
    state.steps += 1
    d_loss, real_signs, d_accuracy = (torch.stack(each).mean() for each in zip(*d_losses, strict=True))
    if options.augment == "ada" and state.images_seen >= PASSES * state.images_in_data:
        real_signs = mean(state.fabric, real_signs)
        state.augment_p = adapt(state.augment_p, real_signs.item(), options.batch)
    return Losses(d_loss, torch.stack(g_losses).mean(), real_signs, d_accuracy)


@contextmanager
def optimizer_step(
    state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[None]:
    """Zero the gradients, run the block, which accumulates them, average them over all processes, and step."""
    optimizer.zero_grad()
    yield
    average_gradients(state.fabric, network)
    state.precision.optimizer_step(optimizer)


@dataclass(frozen=True)
class MicroBatch:
    """Real and generated images in [-1, 1], before augmentation, and the labels of both. RGBA is premultiplied."""

    real: Tensor  # [B, C, H, W]
    fake: Tensor  # [B, C, H, W]
    labels: Tensor | None  # [B]


def _micro_batch(
    options: TrainingOptions, state: TrainingState, pixels: Images, classes: Classes | None
) -> MicroBatch:
    """Copy real images to the device, and generate as many images."""
    labels = None if classes is None else torch.from_numpy(classes).to(state.device)  # [B]
    # torch computes little with uint16
    values = pixels / np.float32(257) if pixels.dtype == np.uint16 else pixels
    real = torch.from_numpy(values).to(state.device).permute(0, 3, 1, 2).float() / 127.5 - 1  # [B, C, H, W]
    real = premultiplied(real)
    if options.mirror:
        flipped = torch.rand(len(real), 1, 1, 1, device=state.device) < 0.5
        real = torch.where(flipped, real.flip(3), real)
    z = sample_latents(options, state, len(real))
    with state.precision.forward_context():
        fake = state.generator(z, labels).float()  # [B, C, H, W]
    return MicroBatch(real, fake, labels)


def _discriminator_backward(
    options: TrainingOptions, state: TrainingState, batch: MicroBatch
) -> tuple[Tensor, Tensor, Tensor]:
    """Add the gradients of the discriminator; return its loss, the mean sign of real logits, and its accuracy."""
    real, fake = (_augmented(options, state, each) for each in (batch.real, batch.fake.detach()))
    real_logits, fake_logits = _logits(state, real, batch.labels), _logits(state, fake, batch.labels)
    loss = LOSSES[options.loss].discriminator(real_logits, fake_logits)
    penalties = _penalties(options, state, MicroBatch(real, fake, batch.labels))
    state.precision.backward((loss + penalties) / options.accumulate, None)
    d_accuracy = ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2
    return loss.detach(), real_logits.detach().sign().mean(), d_accuracy


def _generator_backward(options: TrainingOptions, state: TrainingState, batch: MicroBatch) -> Tensor:
    """Add the gradients of the generator and return its loss."""
    loss_of, real_logits = LOSSES[options.loss], None
    if loss_of.paired:
        with torch.no_grad():
            real_logits = _logits(state, _augmented(options, state, batch.real), batch.labels)
    fake_logits = _logits(state, _augmented(options, state, batch.fake), batch.labels)
    loss = loss_of.generator(fake_logits, real_logits)
    state.precision.backward(loss / options.accumulate, None)
    return loss.detach()


def _logits(state: TrainingState, images: Tensor, labels: Tensor | None) -> Tensor:
    with state.precision.forward_context():
        logits: Tensor = state.discriminator(images, labels)
    return logits.float()


def _augmented(options: TrainingOptions, state: TrainingState, images: Tensor) -> Tensor:
    """Return images with augmentation and instance noise, the discriminator's input."""
    images = augment(images, options.augment, state.augment_p, tile=options.network.tile)
    if options.instance_noise:
        images = images + options.instance_noise * torch.randn_like(images)
    return images


def _penalties(options: TrainingOptions, state: TrainingState, batch: MicroBatch) -> Tensor | float:
    """Return the penalties at augmented images. With `lazy` N: every N steps, with N times the weight."""
    every = options.lazy
    if state.steps % every:
        return 0.0
    total: Tensor | float = 0.0

    def logits(images: Tensor) -> Tensor:
        of_images: Tensor = state.discriminator(images, batch.labels)
        return of_images

    if r1 := options.penalty("r1"):
        total = total + r1_penalty(logits, batch.real, r1 * every)
    if r2 := options.penalty("r2"):
        total = total + r2_penalty(logits, batch.fake, r2 * every)
    if gp := options.penalty("gp"):
        total = total + gradient_penalty(logits, batch.real, batch.fake, gp * every)
    return total


def _split(pixels: Images, labels: Classes | None, count: int) -> list[Batch]:
    parts = np.array_split(np.arange(len(pixels)), count)
    return [(pixels[part], None if labels is None else labels[part]) for part in parts]


def _warm_up(options: TrainingOptions, state: TrainingState) -> None:
    """Set the learning rates. They rise linearly during the warm-up."""
    seen = state.images_seen + options.batch
    share = min(seen / (options.warmup_kimg * 1000), 1.0) if options.warmup_kimg else 1.0
    for optimizer, rate in (
        (state.generator_optimizer, options.lr),
        (state.discriminator_optimizer, options.lr if options.lr_d is None else options.lr_d),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * share

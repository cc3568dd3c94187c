"""One training step on one batch: the discriminator, then the generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from gantool.models import Generator
from gantool.models.alpha import premultiplied
from gantool.models.slim import first_channels
from gantool.runtime.spec import Images, Latents
from gantool.train.augment import PASSES, adapt, augment
from gantool.train.distance import pixel_distance, squared_distance
from gantool.train.distributed import average_gradients, mean
from gantool.train.losses import LOSSES
from gantool.train.options import TrainingOptions
from gantool.train.penalties import gradient_penalty, r1_penalty, r2_penalty
from gantool.train.state import TrainingState, sample_latents

Classes = NDArray[np.int64]  # [N]


@dataclass(frozen=True)
class Targets:
    """The z of a batch, and what a teacher makes of them: the images that a student should make."""

    z: Latents  # [B, latent]
    images: Images | None = None  # [B, H, W, C]; None: those of the batch, which are the teacher's

    def part(self, rows: NDArray[np.int64]) -> Targets:
        """Return the targets of some rows of the batch."""
        return Targets(self.z[rows], None if self.images is None else self.images[rows])


Batch = tuple[Images, Classes | None, Targets | None]  # real images [B, H, W, C], their classes [B]


@dataclass(frozen=True)
class Losses:
    """The losses of one step, without the penalties, as tensors on the device."""

    discriminator: Tensor
    generator: Tensor
    real_signs: Tensor  # mean sign of the logits of real images; near 1: the data are memorized
    d_accuracy: Tensor  # share of images that the discriminator classifies correctly
    distance: Tensor  # of a student's images from its teacher's; 0 without a teacher


def step(
    options: TrainingOptions,
    state: TrainingState,
    real: Images,
    labels: Classes | None,
    targets: Targets | None = None,
    rate: float = 1.0,
) -> Losses:
    """Update the discriminator, then the generator, on real images, uint8 [B, H, W, C], and labels, [B].

    `rate` is the share of the learning rates to take. With `targets`, the generator also learns to make the images
    of a teacher, and at first only that: the discriminator joins after `regression_kimg`. With `accumulate`,
    gradients accumulate over micro-batches. With several processes, B is this process's slice of the batch.
    """
    _set_rates(options, state, rate)
    count, adversarial = options.accumulate, options.is_adversarial(state.images_seen)
    micro_batches = _split(real, labels, targets, count)
    d_losses, g_losses = [], []
    if adversarial:
        with optimizer_step(state, state.discriminator, state.discriminator_optimizer):
            for part in micro_batches:
                batch = _micro_batch(options, state, *part)
                d_losses.append(_discriminator_backward(options, state, batch))
    state.discriminator.requires_grad_(False)  # do not compute the gradients of its weights
    with optimizer_step(state, state.generator, state.generator_optimizer):
        for part in micro_batches:
            # generate again: the images of all micro-batches would not fit into memory
            if count > 1 or not adversarial:
                batch = _micro_batch(options, state, *part)
            g_losses.append(_generator_backward(options, state, batch, adversarial=adversarial))
    state.discriminator.requires_grad_(True)
    state.steps += 1
    g_loss, distance = (torch.stack(each).mean() for each in zip(*g_losses, strict=True))
    nothing = torch.zeros((), device=state.device)
    d_loss, real_signs, d_accuracy = (
        (torch.stack(each).mean() for each in zip(*d_losses, strict=True)) if adversarial else (nothing,) * 3
    )
    if adversarial and options.augment == "ada" and state.images_seen >= PASSES * state.images_in_data:
        real_signs = mean(state.fabric, real_signs)
        state.augment_p = adapt(state.augment_p, real_signs.item(), options.batch)
    return Losses(d_loss, g_loss, real_signs, d_accuracy, distance)


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
    target: Tensor | None = None  # what `fake` should be, [B, C, H, W]
    z: Tensor | None = None  # [B, latent]


def _micro_batch(
    options: TrainingOptions,
    state: TrainingState,
    pixels: Images,
    classes: Classes | None,
    targets: Targets | None,
) -> MicroBatch:
    """Copy real images, and targets, to the device, and generate as many images."""
    labels = None if classes is None else torch.from_numpy(classes).to(state.device)  # [B]
    real = unflipped = _on_device(state, pixels)
    if options.mirror:
        flipped = torch.rand(len(real), 1, 1, 1, device=state.device) < 0.5
        real = torch.where(flipped, real.flip(3), real)
    if targets is None:
        z, target = sample_latents(options, state, len(real)), None
    else:
        z = torch.from_numpy(targets.z).to(state.device)
        target = unflipped if targets.images is None else _on_device(state, targets.images)
    with state.precision.forward_context():
        fake = state.generator(z, labels).float()  # [B, C, H, W]
    return MicroBatch(real, fake, labels, target, z)


def _on_device(state: TrainingState, pixels: Images) -> Tensor:
    """Return images, [B, H, W, C], as float32 [B, C, H, W] in [-1, 1] on the device; RGBA is premultiplied."""
    # torch computes little with uint16
    values = pixels / np.float32(257) if pixels.dtype == np.uint16 else pixels
    images = torch.from_numpy(values).to(state.device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return premultiplied(images)


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


def _generator_backward(
    options: TrainingOptions, state: TrainingState, batch: MicroBatch, *, adversarial: bool
) -> tuple[Tensor, Tensor]:
    """Add the gradients of the generator; return its loss, and the distance of its images from the targets.

    An elastic generator has gradients at each of its widths: the sandwich rule (Yu and Huang 2019,
    arXiv:1903.05134), for as few widths as there are here.
    """
    found = []
    for fake in (batch.fake, *(_thin_images(state, thin, batch) for thin in state.thin)):
        loss = apart = torch.zeros((), device=state.device)
        if adversarial:
            loss = options.adversarial * _adversarial_loss(options, state, replace(batch, fake=fake))
        if batch.target is not None:
            apart = (squared_distance if options.quantize else pixel_distance)(fake, batch.target).mean()
        state.precision.backward((loss + apart) / options.accumulate, None)
        found.append((loss.detach(), apart.detach()))
    return found[0]


def _thin_images(state: TrainingState, thin: Generator, batch: MicroBatch) -> Tensor:
    """Return the images that the first channels of the generator make of the z of a batch."""
    with state.precision.forward_context():
        images: Tensor = functional_call(thin, first_channels(state.generator, thin), (batch.z, batch.labels))
    return images.float()


def _adversarial_loss(options: TrainingOptions, state: TrainingState, batch: MicroBatch) -> Tensor:
    loss_of, real_logits = LOSSES[options.loss], None
    if loss_of.paired:
        with torch.no_grad():
            real_logits = _logits(state, _augmented(options, state, batch.real), batch.labels)
    fake_logits = _logits(state, _augmented(options, state, batch.fake), batch.labels)
    return loss_of.generator(fake_logits, real_logits)


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


def _split(real: Images, labels: Classes | None, targets: Targets | None, count: int) -> list[Batch]:
    return [
        (
            real[part],
            None if labels is None else labels[part],
            None if targets is None else targets.part(part),
        )
        for part in np.array_split(np.arange(len(real)), count)
    ]


def _set_rates(options: TrainingOptions, state: TrainingState, share: float) -> None:
    """Set the learning rates, or a share of them. They rise linearly during the warm-up."""
    seen = state.images_seen + options.batch
    if options.warmup_kimg:
        share *= min(seen / (options.warmup_kimg * 1000), 1.0)
    for optimizer, rate in (
        (state.generator_optimizer, options.lr),
        (state.discriminator_optimizer, options.lr if options.lr_d is None else options.lr_d),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * share

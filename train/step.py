"""One step of training: the discriminator, then the generator, on one batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantool.train.augment import adapt, augment
from gantool.train.distributed import average_gradients, mean
from gantool.train.losses import LOSSES
from gantool.train.options import TrainingOptions
from gantool.train.penalties import one_centred, zero_centred
from gantool.train.state import TrainingState, draw_latents

Pixels = NDArray[np.uint8]  # [N, H, W, C]
Classes = NDArray[np.int64]  # [N]


@dataclass(frozen=True)
class Losses:
    """Of one step, still on the device; without the penalties."""

    discriminator: Tensor
    generator: Tensor
    sign: Tensor  # mean sign of the logits of real images: near 1 the discriminator knows the data by heart
    right: Tensor  # share of images that the discriminator tells rightly


def step(options: TrainingOptions, state: TrainingState, real: Pixels, labels: Classes | None) -> Losses:
    """Update the discriminator, then the generator, on real images, uint8 [B, H, W, C], and labels, [B].

    With --accumulate, gradients are gathered over parts of the batch; several processes have a part of it each.
    """
    _warm_up(options, state)
    count = options.accumulate
    parts = _split(real, labels, count)
    losses, g_losses = [], []
    with _full_gradient(state, state.discriminator, state.discriminator_optimizer):
        for images, classes in parts:
            part = _Part(options, state, images, classes)
            losses.append(part.discriminator(count))
    state.discriminator.requires_grad_(False)  # spares the gradients of its weights
    with _full_gradient(state, state.generator, state.generator_optimizer):
        for images, classes in parts:
            if count > 1:  # the images of all parts would not fit into memory at once: new ones
                part = _Part(options, state, images, classes)
            g_losses.append(part.generator(count))
    state.discriminator.requires_grad_(True)
    state.steps += 1
    d_loss, sign, right = (torch.stack(each).mean() for each in zip(*losses, strict=True))
    if options.augment == "ada":
        sign = mean(state.fabric, sign)
        state.augment_p = adapt(state.augment_p, sign.item(), options.batch)
    return Losses(d_loss, torch.stack(g_losses).mean(), sign, right)


class _full_gradient(AbstractContextManager[None]):  # noqa: N801 (a verb, as open)
    """Gather gradients from zero, over all processes, then let the optimizer make its step."""

    def __init__(self, state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.state, self.network, self.optimizer = state, network, optimizer

    def __enter__(self) -> None:
        self.optimizer.zero_grad()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            average_gradients(self.state.fabric, self.network)
            self.state.precision.optimizer_step(self.optimizer)


class _Part:
    """A batch, or a part of one: its real and generated images, and what each network makes of them."""

    def __init__(
        self, options: TrainingOptions, state: TrainingState, pixels: Pixels, labels: Classes | None
    ) -> None:
        self.options, self.state = options, state
        self.loss = LOSSES[options.loss]
        self.labels = None if labels is None else torch.from_numpy(labels).to(state.device)  # [B]
        real = (
            torch.from_numpy(pixels).to(state.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        )  # [B, C, H, W]
        if options.mirror:
            flipped = torch.rand(len(real), 1, 1, 1, device=state.device) < 0.5
            real = torch.where(flipped, real.flip(3), real)
        self.real = real
        z = draw_latents(options, state, len(real))
        with state.precision.forward_context():
            self.fake = state.generator(z, self.labels).float()  # [B, C, H, W]

    def discriminator(self, parts: int) -> tuple[Tensor, Tensor, Tensor]:
        """Add the gradients of the discriminator; return its loss, mean sign and share of right answers."""
        real, fake = self._seen(self.real), self._seen(self.fake.detach())
        real_logits, fake_logits = self._logits(real), self._logits(fake)
        loss = self.loss.discriminator(real_logits, fake_logits)
        self._backward((loss + self._penalties(real, fake)) / parts)
        right = ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2
        return loss.detach(), real_logits.detach().sign().mean(), right

    def generator(self, parts: int) -> Tensor:
        """Add the gradients of the generator and return its loss."""
        real_logits = None
        if self.loss.paired:
            with torch.no_grad():
                real_logits = self._logits(self._seen(self.real))
        loss = self.loss.generator(self._logits(self._seen(self.fake)), real_logits)
        self._backward(loss / parts)
        return loss.detach()

    def _logits(self, images: Tensor) -> Tensor:
        with self.state.precision.forward_context():
            logits: Tensor = self.state.discriminator(images, self.labels)
        return logits.float()

    def _seen(self, images: Tensor) -> Tensor:
        """Return images as the discriminator sees them."""
        images = augment(images, self.options.augment, self.state.augment_p)
        if self.options.instance_noise:
            images = images + self.options.instance_noise * torch.randn_like(images)
        return images

    def _penalties(self, real: Tensor, fake: Tensor) -> Tensor | float:
        options, every = self.options, self.options.lazy
        if self.state.steps % every:
            return 0.0
        total: Tensor | float = 0.0
        logits: Callable[[Tensor], Tensor] = lambda images: self.state.discriminator(images, self.labels)  # noqa: E731
        if r1 := options.penalty("r1"):
            total = total + zero_centred(logits, real, r1 * every)
        if r2 := options.penalty("r2"):
            total = total + zero_centred(logits, fake, r2 * every)
        if gp := options.penalty("gp"):
            total = total + one_centred(logits, real, fake, gp * every)
        return total

    def _backward(self, loss: Tensor) -> None:
        self.state.precision.backward(loss, None)


def _split(pixels: Pixels, labels: Classes | None, count: int) -> list[tuple[Pixels, Classes | None]]:
    parts = np.array_split(np.arange(len(pixels)), count)
    return [(pixels[part], None if labels is None else labels[part]) for part in parts]


def _warm_up(options: TrainingOptions, state: TrainingState) -> None:
    """Set the learning rates: they rise in a line over the first images."""
    seen = state.images_seen + options.batch
    share = min(seen / (options.warmup_kimg * 1000), 1.0) if options.warmup_kimg else 1.0
    for optimizer, rate in (
        (state.generator_optimizer, options.lr),
        (state.discriminator_optimizer, options.lr if options.lr_d is None else options.lr_d),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * share

"""The training loop: discriminator and generator in turn, a tick now and then, a snapshot now and then."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantool.models import CHECKPOINT_NAME, Generator, save_checkpoint
from gantool.runtime.errors import GantoolError
from gantool.runtime.images import to_uint8
from gantool.runtime.seeds import latents
from gantool.runtime.signals import stop_signals
from gantool.runtime.writer import grid, save_image
from gantool.train.losses import discriminator_loss, generator_loss
from gantool.train.options import TrainingOptions
from gantool.train.progress import Report
from gantool.train.run import STATE_NAME, STATS_NAME
from gantool.train.state import TrainingState, draw_latents, save_state, settle_average, update_average

FAKES = 64  # seeds 0..63 in fakes000123.png


@dataclass(frozen=True)
class Run:
    """What a run is made of and where it goes."""

    options: TrainingOptions
    images: NDArray[np.uint8]  # [N, H, W, C], may be memory-mapped
    data: str  # name of the data set
    folder: Path


@dataclass(frozen=True)
class Losses:
    """Of one step, still on the device."""

    discriminator: Tensor
    generator: Tensor


def train(run: Run, state: TrainingState, report: Report) -> bool:
    """Train until the options say stop. Return whether it was interrupted.

    Interrupted (SIGINT, SIGTERM) it ends after the step at hand and saves as at any other end. Raises
    GantoolError if a loss is no longer finite; the last snapshot is left as it is.
    """
    options = run.options
    started, seconds_before = time.monotonic(), state.seconds
    total = options.kimg * 1000
    limit = math.inf if options.minutes is None else options.minutes * 60
    ticks = Ticks(state.images_seen, state.seconds)
    sampler = Sampler(len(run.images), options.seed)
    with stop_signals() as stopping:
        if not state.images_seen:
            save_fakes(run, state)
        while state.images_seen < total and state.seconds - seconds_before < limit and not stopping:
            real = run.images[sampler.indices(state.images_seen, options.batch)]  # [B, H, W, C] uint8
            ticks.losses.append(step(options, state, real))
            state.images_seen += options.batch
            update_average(state, options)
            state.seconds = seconds_before + time.monotonic() - started
            report.advance(
                max(state.images_seen / total, (state.seconds - seconds_before) / limit),
                f"kimg {state.images_seen / 1000:.1f}",
            )
            if state.images_seen - ticks.images_seen >= options.tick * 1000:
                ticks = tick(run, state, report, ticks)
                if state.tick % options.snap == 0:
                    snapshot(run, state)
        if ticks.losses:
            tick(run, state, report, ticks)
        snapshot(run, state)
    return bool(stopping)


def step(options: TrainingOptions, state: TrainingState, real: NDArray[np.uint8]) -> Losses:
    """Update the discriminator, then the generator, on one batch of real images, uint8 [B, H, W, C]."""
    pixels = torch.from_numpy(real).to(state.device).permute(0, 3, 1, 2)  # [B, C, H, W], channels last
    images = pixels.float() / 127.5 - 1
    if options.mirror:
        flipped = torch.rand(len(images), 1, 1, 1, device=state.device) < 0.5
        images = torch.where(flipped, images.flip(3), images)
    fakes = state.generator(draw_latents(options, len(images), state.device))

    d_loss = discriminator_loss(state.discriminator(images), state.discriminator(fakes.detach()))
    state.discriminator_optimizer.zero_grad()
    d_loss.backward()  # type: ignore[no-untyped-call]
    state.discriminator_optimizer.step()

    state.discriminator.requires_grad_(False)  # spares the gradients of its weights
    g_loss = generator_loss(state.discriminator(fakes))
    state.generator_optimizer.zero_grad()
    g_loss.backward()  # type: ignore[no-untyped-call]
    state.generator_optimizer.step()
    state.discriminator.requires_grad_(True)
    return Losses(d_loss.detach(), g_loss.detach())


class Sampler:
    """Which images a step sees: a new permutation each epoch, a function of seed and position alone.

    So a resumed run goes on with the very images that an unbroken one would see.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = -1
        self.order = np.empty(0, np.int64)  # [count], of the epoch

    def indices(self, position: int, batch: int) -> NDArray[np.int64]:
        """Return the indices, [batch], of the images from `position` on, counted from the start of the run."""
        parts = []
        while batch:
            epoch, start = divmod(position, self.count)
            if epoch != self.epoch:
                self.epoch = epoch
                self.order = _stream(self.seed, epoch).permutation(self.count)
            part = self.order[start : start + batch]
            parts.append(part)
            position, batch = position + len(part), batch - len(part)
        return np.concatenate(parts)


def _stream(seed: int, epoch: int) -> np.random.RandomState:
    """Return the random stream of an epoch: RandomState, which NumPy has frozen, of 32-bit words."""
    return np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, epoch])


@dataclass(frozen=True)
class Ticks:
    """What the next tick reports on: all since the last one."""

    images_seen: int
    seconds: float
    losses: list[Losses] = field(default_factory=list)


def tick(run: Run, state: TrainingState, report: Report, last: Ticks) -> Ticks:
    """Report the mean losses since the last tick, and begin the next. Raises GantoolError on NaN."""
    d_loss = torch.stack([each.discriminator for each in last.losses]).mean().item()
    g_loss = torch.stack([each.generator for each in last.losses]).mean().item()
    if not math.isfinite(d_loss + g_loss):
        raise _diverged(run, state)
    seconds = state.seconds - last.seconds
    state.tick += 1
    values = {
        "tick": state.tick,
        "kimg": state.images_seen / 1000,
        "seconds": round(state.seconds, 2),
        "sec_per_kimg": round(seconds / (state.images_seen - last.images_seen) * 1000, 4),
        "loss_d": round(d_loss, 5),
        "loss_g": round(g_loss, 5),
    }
    with (run.folder / STATS_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
    report.tick(
        f"tick {state.tick:<5d} kimg {values['kimg']:<8.1f} time {_duration(state.seconds):<12s} "
        f"sec/tick {seconds:<7.1f} sec/kimg {values['sec_per_kimg']:<7.3f} loss D {d_loss:<7.3f} G {g_loss:.3f}"
    )
    return Ticks(state.images_seen, state.seconds)


def snapshot(run: Run, state: TrainingState) -> None:
    """Write a sheet of fakes, the checkpoint and the resume state."""
    average = save_fakes(run, state)
    save_checkpoint(run.folder / CHECKPOINT_NAME, average, state.images_seen, run.data)
    save_state(run.folder / STATE_NAME, state)


def save_fakes(run: Run, state: TrainingState) -> Generator:
    """Write a sheet of fixed seeds, made by the averaged generator, and return that. Raises on NaN."""
    average = settle_average(state, run.options)
    network = run.options.network
    z = torch.from_numpy(latents(range(FAKES), network.latent, network.distribution)).to(state.device)
    with torch.no_grad():
        fakes = average(z).cpu().numpy()  # [64, C, H, W]
    if not np.isfinite(fakes).all():
        raise _diverged(run, state)
    save_image(run.folder / f"fakes{state.images_seen // 1000:06d}.png", grid(to_uint8(fakes), columns=8))
    return average


def _diverged(run: Run, state: TrainingState) -> GantoolError:
    checkpoint = run.folder / CHECKPOINT_NAME
    kept = (
        f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "no checkpoint was saved yet"
    )
    return GantoolError(
        f"training diverged: losses or weights became NaN or infinite by kimg {state.images_seen / 1000:.1f}; "
        f"lower --lr (it is {run.options.lr:g}) or raise --batch (it is {run.options.batch}); {kept}"
    )


def _duration(seconds: float) -> str:
    """Write seconds as StyleGAN's tick line does: 12s, 3m 05s, 1h 02m 03s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"

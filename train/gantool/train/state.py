"""What a run is between two steps: networks, moving average, optimizers, counters, random state."""

from __future__ import annotations

import copy
import io
import math
import os
import pickle
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantool.models import Discriminator, Generator
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.seeds import LARGEST, latents
from gantool.train.options import TrainingOptions


@dataclass
class TrainingState:
    """All that changes while training."""

    generator: Generator
    discriminator: Discriminator
    average: Generator  # exponential moving average of the generator's weights
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    device: torch.device
    images_in_data: int = 0
    images_seen: int = 0
    steps: int = 0
    augment_p: float = 0.0  # probability of ada
    best: float = math.inf  # lowest Fréchet distance so far
    tick: int = 0  # lines of progress so far
    seconds: float = 0.0  # spent training, over all resumes


def new_state(options: TrainingOptions) -> TrainingState:
    """Seed the random state and make untrained networks on the chosen device."""
    device = _device(options.device)
    torch.manual_seed(options.seed)
    generator, discriminator = Generator(options.network), Discriminator(options.network)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    for network in (generator, discriminator):
        network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    return TrainingState(
        generator=generator,
        discriminator=discriminator,
        average=copy.deepcopy(generator).requires_grad_(False),
        generator_optimizer=_optimizer(options, generator, options.lr),
        discriminator_optimizer=_optimizer(
            options, discriminator, options.lr if options.lr_d is None else options.lr_d
        ),
        device=device,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d+)?", name):
        raise UsageError(f"--device {name}: choose auto, cpu, cuda, cuda:1, xpu or mps")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0][:200]
        raise GantoolError(f"--device {name} cannot be used here: {reason}; try --device auto") from error
    return torch.device(name)


def _optimizer(options: TrainingOptions, network: nn.Module, rate: float) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), rate)
    return torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)


def compiled(state: TrainingState) -> None:
    """Have torch compile both networks at their next step; names and weights stay as they are."""
    state.generator.compile()
    state.discriminator.compile()


def draw_latents(options: TrainingOptions, count: int, device: torch.device) -> Tensor:
    """Draw z for a training step, float32 [count, latent]."""
    shape = (count, options.network.latent)
    if options.network.distribution == "uniform":
        return torch.rand(shape, device=device) * 2 - 1
    if options.network.distribution == "truncated":
        return nn.init.trunc_normal_(torch.empty(shape, device=device), a=-LARGEST, b=LARGEST)
    return torch.randn(shape, device=device)


def update_average(state: TrainingState, options: TrainingOptions) -> None:
    """Move the average towards the generator by one step.

    Early on the half-life is a twentieth of the images seen, so that the average soon forgets the start.
    """
    half_life = min(options.ema_kimg * 1000, state.images_seen / 20)
    weight = 1 - 0.5 ** (options.batch / max(half_life, 1e-8))
    with torch.no_grad():
        for average, current in zip(state.average.parameters(), state.generator.parameters(), strict=True):
            average.lerp_(current, weight)


def settle_average(state: TrainingState, options: TrainingOptions) -> Generator:
    """Give the average its own BatchNorm statistics, and return it in eval mode.

    Averaged weights do not fit the statistics of the weights they were averaged from. Fixed seeds, so that the
    random state of training is left alone.
    """
    network = options.network
    z = torch.from_numpy(latents(range(1024), network.latent, network.distribution)).to(state.device)
    average = state.average.train()
    norms = [layer for layer in average.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all that follows
    classes = network.classes
    label = torch.arange(len(z), device=z.device) % classes if classes else None
    with torch.no_grad():
        for part in torch.split(torch.arange(len(z), device=z.device), 128) if norms else ():
            average(z[part], None if label is None else label[part])
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return average.eval()


def save_state(path: Path, state: TrainingState) -> None:
    """Write everything that resuming needs, whole or not at all; the state before it is kept, too."""
    content = {
        "format": FORMAT,
        **{name: getattr(state, name).state_dict() for name in _MODULES},
        "images_in_data": state.images_in_data,
        "images_seen": state.images_seen,
        "steps": state.steps,
        "augment_p": state.augment_p,
        "best": state.best,
        "tick": state.tick,
        "seconds": state.seconds,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if state.device.type == "cuda" else [],
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)  # torch makes a RuntimeError of a full disk
    with atomic(path) as part:
        part.write_bytes(buffer.getbuffer())
        if path.exists():  # the one before stays as a second name, whatever happens to the new one
            _keep(path)


def _keep(path: Path) -> None:
    with atomic(path.with_name(PREVIOUS_NAME)) as part:
        try:
            os.link(path, part)
        except OSError:  # a file system without links
            shutil.copyfile(path, part)


FORMAT = 2
PREVIOUS_NAME = "training_state.previous.pt"
_MODULES = ("generator", "discriminator", "average", "generator_optimizer", "discriminator_optimizer")


# what load_state_dict and the like make of a file that holds something else
_MALFORMED = (ValueError, TypeError, AttributeError)


def load_state(path: Path, options: TrainingOptions) -> TrainingState:
    """Read what `save_state` wrote. Raises GantoolError for a damaged file or one of other networks."""
    state = new_state(options)
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if (found := content.get("format", 1)) > FORMAT:
            raise ValueError(f"it has format {found}, this gantool reads up to {FORMAT}: install a newer one")
        for name in _MODULES:
            getattr(state, name).load_state_dict(content[name])
        state.images_in_data = int(content["images_in_data"])
        state.images_seen, state.tick = int(content["images_seen"]), int(content["tick"])
        state.seconds = float(content["seconds"])
        state.steps = int(content.get("steps", state.images_seen // options.batch))
        state.augment_p, state.best = float(content.get("augment_p", 0)), float(content.get("best", math.inf))
        torch.set_rng_state(content["random"])
        if state.device.type == "cuda" and content["random_cuda"]:
            torch.cuda.set_rng_state_all(content["random_cuda"])
    except (OSError, RuntimeError, LookupError, EOFError, pickle.UnpicklingError, *_MALFORMED) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GantoolError(f"{path} cannot be resumed from: {reason}; start a new run") from error
    return state

"""What a run is between two steps: networks, moving average, optimizers, counters, random state."""

from __future__ import annotations

import copy
import io
import math
import os
import pickle
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import Precision
from torch import Tensor, nn

from gantool.models import Discriminator, Generator, save_checkpoint
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.seeds import LARGEST, latents
from gantool.train.data.dataset import ImageData
from gantool.train.distributed import gather, mine, precision, share_statistics
from gantool.train.options import TrainingOptions


@dataclass
class TrainingState:
    """All that changes while training."""

    generator: Generator
    discriminator: Discriminator
    average: Generator  # exponential moving average of the generator's weights
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    fabric: Fabric  # the device, and the processes of the run
    precision: Precision  # how a step computes
    latent_stream: torch.Generator  # z of all processes: each draws all of it, and takes its own
    images_in_data: int = 0
    labels_in_data: str = ""  # the names of the classes, and a checksum of the labels; "" where none are used
    images_seen: int = 0
    steps: int = 0
    augment_p: float = 0.0  # probability of ada
    best: float = math.inf  # lowest Fréchet distance so far
    measured: float = math.inf  # the last Fréchet distance
    tick: int = 0  # lines of progress so far
    seconds: float = 0.0  # spent training, over all resumes

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.fabric.device


def new_state(options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Seed the random state and make untrained networks on the device, the same in each process."""
    device = fabric.device
    torch.manual_seed(options.seed)
    generator, discriminator = Generator(options.network), Discriminator(options.network)
    average = copy.deepcopy(generator)
    if fabric.world_size > 1:
        share_statistics(generator)
        share_statistics(discriminator)
        torch.manual_seed((options.seed + fabric.global_rank) % 2**63)  # augmentation and noise differ
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    for network in (generator, discriminator, average):
        network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    if options.channels_last:
        _reshape_to_channels_last(generator)
        _reshape_to_channels_last(average)
    return TrainingState(
        generator=generator,
        discriminator=discriminator,
        average=average.requires_grad_(False),
        generator_optimizer=_optimizer(options, generator, options.lr),
        discriminator_optimizer=_optimizer(
            options, discriminator, options.lr if options.lr_d is None else options.lr_d
        ),
        fabric=fabric,
        precision=precision(options.precision, device),
        latent_stream=torch.Generator(device).manual_seed((options.seed + 2**32) % 2**63),
    )


def _reshape_to_channels_last(network: nn.Module) -> None:
    """Make nn.Unflatten give channels last: it gives them first, and the layers after it keep what they get."""
    for layer in network.modules():
        if isinstance(layer, nn.Unflatten):
            layer.register_forward_hook(
                lambda _layer, _inputs, values: values.contiguous(memory_format=torch.channels_last)
            )


def _optimizer(options: TrainingOptions, network: nn.Module, rate: float) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), rate)
    return torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)


def compiled(state: TrainingState) -> None:
    """Have torch compile both networks at their next step; names and weights stay as they are."""
    state.generator.compile()
    state.discriminator.compile()


def draw_latents(options: TrainingOptions, state: TrainingState, count: int) -> Tensor:
    """Draw z for a training step, float32 [count, latent]: the share of this process in one draw for all."""
    shape = (count * state.fabric.world_size, options.network.latent)
    z = torch.empty(shape, device=state.device)
    if options.network.distribution == "uniform":
        z.uniform_(-1, 1, generator=state.latent_stream)
    elif options.network.distribution == "truncated":
        nn.init.trunc_normal_(z, a=-LARGEST, b=LARGEST, generator=state.latent_stream)
    else:
        z.normal_(generator=state.latent_stream)
    return z[mine(state.fabric)]


def update_average(state: TrainingState, options: TrainingOptions) -> None:
    """Move the average towards the generator by one step.

    Early on the half-life is a twentieth of the images seen, so that the average soon forgets the start.
    """
    half_life = min(options.ema_kimg * 1000, state.images_seen / 20)
    weight = 1 - 0.5 ** (options.batch / max(half_life, 1e-8))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.parameters()), list(state.generator.parameters()), weight)


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


def save_generator(path: Path, average: Generator, images_seen: int, data: ImageData) -> None:
    """Write a checkpoint; a conditional one knows the names of its classes."""
    names = data.labels.classes if data.labels and average.config.classes else ()
    save_checkpoint(path, average, images_seen, data.name, names)


def random_state(state: TrainingState) -> dict[str, Any]:
    """Gather the random state of every process; all of them call this at the same step."""
    found = {"random": gather(state.fabric, torch.get_rng_state())}
    if state.device.type == "cuda":
        found["random_cuda"] = gather(state.fabric, torch.cuda.get_rng_state(state.device))
    return found


def save_state(path: Path, state: TrainingState, random: dict[str, Any]) -> None:
    """Write everything that resuming needs, whole or not at all; the state before it is kept, too.

    `random` is what `random_state` gathered.
    """
    content = {
        "format": FORMAT,
        **{name: getattr(state, name).state_dict() for name in _MODULES},
        "images_in_data": state.images_in_data,
        "labels_in_data": state.labels_in_data,
        "images_seen": state.images_seen,
        "steps": state.steps,
        "augment_p": state.augment_p,
        "best": state.best,
        "measured": state.measured,
        "tick": state.tick,
        "seconds": state.seconds,
        "precision": state.precision.state_dict(),
        "latent_stream": state.latent_stream.get_state(),
        **random,
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


FORMAT = 3
PREVIOUS_NAME = "training_state.previous.pt"
_MODULES = ("generator", "discriminator", "average", "generator_optimizer", "discriminator_optimizer")


# what load_state_dict and the like make of a file that holds something else
_MALFORMED = (ValueError, TypeError, AttributeError)


def load_state(path: Path, options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Read what `save_state` wrote. Raises GantoolError for a damaged file or one of other networks.

    With another number of processes than before the run goes on, with other augmentations.
    """
    state = new_state(options, fabric)
    try:
        content = _read(path)
        if (found := content.get("format", 1)) != FORMAT:
            other = "a newer one" if found > FORMAT else "the gantool that wrote it"
            raise ValueError(f"it has format {found}, this gantool reads {FORMAT}: install {other}")
        for name in _MODULES:
            getattr(state, name).load_state_dict(content[name])
        state.images_in_data = int(content["images_in_data"])
        state.labels_in_data = str(content.get("labels_in_data", ""))  # "": of an earlier gantool
        state.images_seen, state.tick = int(content["images_seen"]), int(content["tick"])
        state.seconds = float(content["seconds"])
        state.steps = int(content["steps"])
        state.augment_p, state.best = float(content["augment_p"]), float(content["best"])
        state.measured = float(content.get("measured", state.best))
        state.precision.load_state_dict(content["precision"])
        _load_random(state, options, content)
    except (RuntimeError, LookupError, *_MALFORMED) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GantoolError(f"{path} cannot be resumed from: {reason}") from error
    return state


def _read(path: Path) -> dict[str, Any]:
    """Return what a state file holds. Raises ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle of another protocol
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch advises to load it all the same
        raise ValueError(
            "it holds other things than weights and numbers, and loading those could run code"
        ) from error
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from error
    except (RuntimeError, LookupError, EOFError, *_MALFORMED) as error:
        raise ValueError("it is damaged, or not a state that gantool wrote") from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a state")
    return content


def _load_random(state: TrainingState, options: TrainingOptions, content: dict[str, Any]) -> None:
    """Go on with the random state of every process; where device or number are others, with a new one."""
    again = (options.seed + state.images_seen) % 2**62  # not the numbers of the start
    stream, current = content["latent_stream"], state.latent_stream
    if stream.numel() == current.get_state().numel():
        current.set_state(stream)
    else:  # of a device of another kind
        current.manual_seed(again + 2**32)
    rank, count = state.fabric.global_rank, state.fabric.world_size
    if len(content["random"]) == count:
        torch.set_rng_state(content["random"][rank])
    else:
        torch.manual_seed(again + rank)
    if len(content.get("random_cuda", ())) == count and state.device.type == "cuda":
        torch.cuda.set_rng_state(content["random_cuda"][rank], state.device)

"""The state of a run between two steps: networks, EMA, optimizers, counters, random state."""

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
from gantool.models.quantize import quantized
from gantool.models.sampling import config_inputs
from gantool.models.slim import thin_config
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.latents import LARGEST
from gantool.runtime.process.terminal import message_of
from gantool.train.data.dataset import ImageData
from gantool.train.distributed import gather, precision, rank_slice
from gantool.train.options import TrainingOptions
from gantool.train.sync_batchnorm import convert_sync_batchnorm


@dataclass
class TrainingState:
    """Everything that changes during training."""

    generator: Generator
    discriminator: Discriminator
    ema: Generator  # exponential moving average of the generator's weights
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    fabric: Fabric  # the device, and the processes of the run
    precision: Precision  # Lightning's precision plugin for a step
    latent_stream: torch.Generator  # each process draws z for all processes and takes its slice
    images_in_data: int = 0
    labels_in_data: str = ""  # class names and a checksum of the labels; "" for a run without labels
    images_seen: int = 0
    steps: int = 0
    augment_p: float = 0.0  # probability of ada
    best: float = math.inf  # lowest Fréchet distance so far
    measured: float = math.inf  # the last Fréchet distance
    tick: int = 0  # ticks so far
    # of an elastic generator: its other widths, whose weights are in `generator`
    thin: tuple[Generator, ...] = ()
    seconds: float = 0.0  # spent training, over all sessions of the run

    @property
    def device(self) -> torch.device:
        """The device that the networks are on."""
        return self.fabric.device


def new_state(options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Seed the random state, and make untrained networks on the device, identical in all processes."""
    device = fabric.device
    torch.manual_seed(options.seed)
    network = options.network
    generator, discriminator = Generator(network), Discriminator(network)
    if options.quantize:
        generator = quantized(generator, config_inputs(network, range(2)))  # its ranges come with its weights
    ema = copy.deepcopy(generator)
    thin = tuple(Generator(thin_config(network, share)) for share in network.elastic)
    if fabric.world_size > 1:
        for each in (generator, discriminator, *thin):
            convert_sync_batchnorm(each)
        torch.manual_seed(
            (options.seed + fabric.global_rank) % 2**63
        )  # augmentation and noise differ by process
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    for each in (generator, discriminator, ema, *thin):
        each.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    if options.channels_last:
        for each in (generator, ema, *thin):
            _reshape_to_channels_last(each)
    return TrainingState(
        generator=generator,
        discriminator=discriminator,
        ema=ema.requires_grad_(False),
        generator_optimizer=_optimizer(options, generator, options.lr),
        discriminator_optimizer=_optimizer(
            options, discriminator, options.lr if options.lr_d is None else options.lr_d
        ),
        fabric=fabric,
        precision=precision(options.precision, device),
        latent_stream=torch.Generator(device).manual_seed((options.seed + 2**32) % 2**63),
        thin=thin,
    )


def _reshape_to_channels_last(network: nn.Module) -> None:
    """Make nn.Unflatten return channels-last tensors: it returns contiguous ones, and later layers keep that."""
    for layer in network.modules():
        if isinstance(layer, nn.Unflatten):
            layer.register_forward_hook(
                lambda _layer, _inputs, values: values.contiguous(memory_format=torch.channels_last)
            )


def _optimizer(options: TrainingOptions, network: nn.Module, rate: float) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), rate)
    return torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), fused=True)


def compile_networks(state: TrainingState) -> None:
    """Let torch compile both networks at their next step. Names and weights do not change."""
    state.generator.compile()
    state.discriminator.compile()


def sample_latents(options: TrainingOptions, state: TrainingState, count: int) -> Tensor:
    """Draw z for a training step, float32 [count, latent]: this process's slice of a draw for all processes."""
    shape = (count * state.fabric.world_size, options.network.latent)
    z = torch.empty(shape, device=state.device)
    if options.network.distribution == "uniform":
        z.uniform_(-1, 1, generator=state.latent_stream)
    elif options.network.distribution == "truncated":
        nn.init.trunc_normal_(z, a=-LARGEST, b=LARGEST, generator=state.latent_stream)
    else:
        z.normal_(generator=state.latent_stream)
    return z[rank_slice(state.fabric)]


def save_generator(path: Path, generator: Generator, images_seen: int, data: ImageData) -> None:
    """Write a checkpoint; one of a conditional generator includes the names of the classes, and their counts."""
    labels = data.labels if generator.config.classes else None
    names, counts = (labels.classes, labels.counts) if labels else ((), ())
    save_checkpoint(path, generator, images_seen, data.name, names, counts)


def random_state(state: TrainingState) -> dict[str, Any]:
    """Gather the random state of all processes, which must call this at the same step."""
    found = {"random": gather(state.fabric, torch.get_rng_state())}
    if state.device.type == "cuda":
        found["random_cuda"] = gather(state.fabric, torch.cuda.get_rng_state(state.device))
    return found


def save_state(path: Path, state: TrainingState, random: dict[str, Any]) -> None:
    """Write everything that a resume needs, whole or not at all, and keep the previous state too.

    `random`: the return value of `random_state`.
    """
    content = {
        "format": FORMAT,
        **{key: getattr(state, name).state_dict() for key, name in _MODULES.items()},
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
    # not directly to the file: on a full disk, torch raises RuntimeError, not OSError
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic(path) as part:
        part.write_bytes(buffer.getbuffer())
        if path.exists():  # give the previous state its own name before replacing it
            _keep(path)


def _keep(path: Path) -> None:
    with atomic(path.with_name(PREVIOUS_NAME)) as part:
        try:
            os.link(path, part)
        except OSError:  # a file system without links
            shutil.copyfile(path, part)


FORMAT = 3
PREVIOUS_NAME = "training_state.previous.pt"
# key in the file -> field of TrainingState with a state_dict
_MODULES = {
    "generator": "generator",
    "discriminator": "discriminator",
    "average": "ema",
    "generator_optimizer": "generator_optimizer",
    "discriminator_optimizer": "discriminator_optimizer",
}

# errors of load_state_dict and similar functions for a file with other content
_MALFORMED = (ValueError, TypeError, AttributeError)


def load_state(path: Path, options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Read the file that `save_state` wrote. Raises GantoolError for a damaged file, or one for other networks.

    With a different number of processes the run continues, but with different augmentations.
    """
    state = new_state(options, fabric)
    try:
        content = _read(path)
        if (found := content.get("format", 1)) != FORMAT:
            other = "a newer one" if found > FORMAT else "the gantool that wrote it"
            raise ValueError(f"it has format {found}, this gantool reads {FORMAT}: install {other}")
        for key, name in _MODULES.items():
            getattr(state, name).load_state_dict(content[key])
        state.images_in_data = int(content["images_in_data"])
        state.labels_in_data = str(content.get("labels_in_data", ""))  # "": written by an earlier gantool
        state.images_seen, state.tick = int(content["images_seen"]), int(content["tick"])
        state.seconds = float(content["seconds"])
        state.steps = int(content["steps"])
        state.augment_p, state.best = float(content["augment_p"]), float(content["best"])
        state.measured = float(content.get("measured", state.best))
        state.precision.load_state_dict(content["precision"])
        _load_random(state, options, content)
    except (RuntimeError, LookupError, *_MALFORMED) as error:
        raise GantoolError(f"{path} cannot be resumed from: {message_of(error)}") from error
    return state


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a state file. Raises ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about a pickle of another protocol
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's message suggests loading the file anyway
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
    """Restore the random state of each process; with another device or number of processes, seed a new one."""
    # not the seed of the start, which would repeat its numbers
    again = (options.seed + state.images_seen) % 2**62
    stream, current = content["latent_stream"], state.latent_stream
    if stream.numel() == current.get_state().numel():
        current.set_state(stream)
    else:  # written on a device of another kind
        current.manual_seed(again + 2**32)
    rank, count = state.fabric.global_rank, state.fabric.world_size
    if len(content["random"]) == count:
        torch.set_rng_state(content["random"][rank])
    else:
        torch.manual_seed(again + rank)
    if len(content.get("random_cuda", ())) == count and state.device.type == "cuda":
        torch.cuda.set_rng_state(content["random_cuda"][rank], state.device)

"""Load a generator as a PyTorch module, from a run of gantool or from elsewhere, with one interface.

Inputs are z, float32 [N, latent], and for a conditional generator label, int64 [N]. The output is images, float32
[N, C, H, W], in [-1, 1] after --range and --clamp.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantool.export.graph.cause import cause_of
from gantool.export.graph.interface import find_interface, unwrap
from gantool.export.graph.probe import CHECKED, SEEDS, clamp_note, find_problem, to_unit_range
from gantool.export.graph.state_dicts import State
from gantool.export.graph.weights import ExpectedState, expected_state, read_weights
from gantool.export.options import Foreign
from gantool.export.source import RUNS, origin_of, split_key, this_folder_first
from gantool.models import CHECKPOINT_NAME, load_checkpoint, newest_checkpoint
from gantool.models.sampling import float_images, seed_inputs
from gantool.models.threads import limit_threads
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import short

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A generator in eval mode on the CPU, and its metadata."""

    module: nn.Module
    metadata: Metadata  # as in a checkpoint, as far as known
    foreign: Foreign = field(default_factory=Foreign)  # scales its images to [-1, 1]

    @property
    def classes(self) -> int:
        """The number of classes; 0 if unconditional."""
        return self.metadata.classes

    def inputs(self, seeds: Sequence[int]) -> tuple[Tensor, ...]:
        """Return z [N, latent] of `seeds`, and label [N] if conditional."""
        known = self.metadata
        return seed_inputs(seeds, known.latent, known.distribution or "normal", known.classes)

    def images(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Return its images, float32 [N, C, H, W] in [-1, 1]. Raises GantoolError for NaN or infinity."""
        images = float_images(self.module, self.inputs(seeds))
        if not np.isfinite(images).all():
            raise GantoolError(
                f"the generator of {short(self.metadata.data)} gives NaN or infinity: its weights are "
                "damaged or too large; use an earlier checkpoint"
            )
        unit: NDArray[np.float32] = to_unit_range(images, self.foreign)
        return unit


def load_source(path: Path | None, foreign: Foreign) -> Source:
    """Load a checkpoint of gantool (None: of the newest run), or a generator from elsewhere."""
    limit_threads()
    origin = origin_of(path, foreign)
    if origin == "checkpoint":
        source = _from_run(path)
    elif origin == "pytorch-dcgan" and path is not None:
        source = _from_pytorch_dcgan(path, foreign)
    else:
        source = _from_function(foreign)
    _warn_of_untrained_batchnorm(source)
    if origin == "checkpoint":
        return source
    _check(source)
    height, width, channels = source.metadata.image
    _log.info(
        f"{source.metadata.data}: {height}×{width}×{channels}, latent {source.metadata.latent} "
        f"{foreign.distribution}{f', {source.classes} classes' if source.classes else ''}; {CHECKED}"
    )
    return source


def _from_run(path: Path | None) -> Source:
    path = path or newest_checkpoint(RUNS)
    if path.is_dir():  # the folder of a run
        path = path / CHECKPOINT_NAME
    checkpoint = load_checkpoint(path)
    network = checkpoint.generator.config
    _log.info(
        f"{path}: {network.architecture}, {network.size}×{network.size}×{network.channels}, latent "
        f"{network.latent} {network.distribution}, {checkpoint.metadata.images_seen / 1000:.1f} kimg of "
        f"{short(checkpoint.metadata.data)}"
    )
    return Source(checkpoint.generator, checkpoint.metadata)


def _from_pytorch_dcgan(given: Path, foreign: Foreign) -> Source:
    """Rebuild `netG` of PyTorch's DCGAN example; the shapes in its state_dict give nz, ngf, nc and the depth."""
    path, key = split_key(given)
    state = read_weights(path, key, ExpectedState("main.0.weight", _dcgan_mismatch))
    main = _dcgan(state)
    nn.ModuleDict({"main": main}).load_state_dict(state)
    latent = int(state["main.0.weight"].shape[0])
    source = _source(main, "pytorch-dcgan", path.name, latent, foreign)
    height, width, _ = source.metadata.image
    _log.info(
        f"{path}: a state_dict does not hold strides and paddings; gantool assumes stride 2 and padding 1, which "
        f"makes {height}×{width}. If your images have another size, use `origin` package.module:function"
    )
    return source


def _convolutions(state: State) -> list[str]:
    """Return the names main.N.weight of the 4-dimensional weights, sorted by N."""
    names = [name for name, weight in state.items() if name.startswith("main.") and weight.ndim == 4]
    names = [name for name in names if name.count(".") == 2 and name.split(".")[1].isdecimal()]
    return sorted(names, key=lambda name: int(name.split(".")[1]))


def _dcgan(state: State) -> nn.Sequential:
    layers: list[nn.Module] = []
    names = _convolutions(state)
    for name in names:
        inputs, outputs = state[name].shape[:2]
        step = (2, 1) if layers else (1, 0)
        bias = name.replace("weight", "bias") in state
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, *step, bias=bias))
        # [N, nz, 1, 1] -> [N, C, 4, 4]; each later layer doubles H and W
        layers += [nn.Tanh()] if name == names[-1] else [nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


def _dcgan_mismatch(state: State) -> str | None:
    """Return why a state_dict is not that of the example's generator, or None."""
    names = _convolutions(state)
    shapes = [tuple(state[name].shape) for name in names]
    elsewhere = "for other networks use `origin` package.module:function"
    if not names or any(shape[2:] != (4, 4) for shape in shapes):
        odd = [f"{name} {list(state[name].shape)}" for name in names if state[name].shape[2:] != (4, 4)]
        found = odd[0] if odd else f"{', '.join(list(state)[:4])} ..."
        return (
            "it is not a generator of PyTorch's DCGAN example: expected 4×4 weights main.0.weight, "
            f"main.3.weight ..., found {found}; {elsewhere}"
        )
    steps = list(pairwise(shapes))
    if any(one[1] != two[0] for one, two in steps) and all(one[0] == two[1] for one, two in steps):
        return "it is the discriminator, by the shapes of its weights: give netG"
    with torch.device("meta"):  # allocates nothing: the file may claim any shape
        expected = expected_state(nn.ModuleDict({"main": _dcgan(state)}))
    if mismatch := expected.mismatch(state):
        return f"it is not a generator of PyTorch's DCGAN example: {mismatch}; {elsewhere}"
    if shapes[-1][1] not in (1, 3):
        return f"it makes images of {shapes[-1][1]} channels, and gantool writes 1 or 3; {elsewhere}"
    return None


def _from_function(foreign: Foreign) -> Source:
    """Call `package.module:function`, which returns an nn.Module, and load --weights into it."""
    origin = str(foreign.origin)
    module = _call(origin)
    name = origin
    if foreign.weights is not None:
        path, key = split_key(foreign.weights)
        expected = expected_state(module)
        state = read_weights(path, key, expected)
        try:
            module.load_state_dict(state)
        except Exception as error:  # load hooks of the user's module may raise anything
            raise GantoolError(f"{path} does not load into the generator: {cause_of(error)}") from error
        name = path.name
    return _source(module, "foreign", name, foreign.latent or 0, foreign)


def _call(origin: str) -> nn.Module:
    """Import `package.module:function` and call it. Raises GantoolError with the line of the user's that fails."""
    name, _, function = origin.partition(":")
    try:
        with this_folder_first():
            home = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise GantoolError(f"`origin` {origin}: Python finds no module {missing}") from error
        raise GantoolError(
            f"`origin` {origin}: {cause_of(error)}; install {missing.partition('.')[0]} here, or go to its folder"
        ) from error
    except SystemExit as error:
        raise GantoolError(
            f"`origin` {origin}: {name} exits Python when it is imported (sys.exit, or argparse): move that code "
            'under if __name__ == "__main__"'
        ) from error
    except Exception as error:
        raise GantoolError(f"`origin` {origin}: importing {name} fails: {cause_of(error)}") from error
    make = getattr(home, function, None)
    if not callable(make):
        own = [
            key
            for key, value in vars(home).items()
            if getattr(value, "__module__", "") == name and callable(value)
        ]
        raise GantoolError(
            f"`origin` {origin}: {name} has no function {function}; it has {', '.join(own[:12]) or 'none'}"
        )
    if needed := _required(make):
        raise GantoolError(
            f"`origin` {origin}: {function} requires {', '.join(needed)}, and gantool calls it without arguments: "
            f"add a function that fills them in, as def make(): return {function}({needed[0]}=...)"
        )
    try:
        module = make()
    except (Exception, SystemExit) as error:
        raise GantoolError(f"`origin` {origin} fails: {cause_of(error)}") from error
    if isinstance(module, torch.jit.ScriptModule):
        raise GantoolError(
            f"`origin` {origin} returned TorchScript, which torch cannot export: return the nn.Module that it was "
            "made of, and give its weights as `weights` g.pth: torch.save(script.state_dict(), 'g.pth')"
        )
    if not isinstance(module, nn.Module):
        raise GantoolError(
            f"`origin` {origin} returned {_named(module)}, expected an nn.Module{_advice(module)}"
        )
    return module


def _required(make: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters without a default."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in variable]


def _named(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"{type(value).__name__}"


def _advice(value: Any) -> str:
    if isinstance(value, type):
        return f": return {value.__name__}()"
    if value is None:
        return ": is its return missing?"
    if isinstance(value, tuple | list | dict):
        return ": return only the generator"
    return ""


def _source(module: nn.Module, architecture: str, data: str, latent: int, foreign: Foreign) -> Source:
    """Adapt a module to z, label -> images. Raises GantoolError if it does not make images."""
    module.eval().float().cpu()
    module = unwrap(module)
    metadata = Metadata.of(
        architecture=architecture,
        latent=latent,
        distribution=foreign.distribution,
        classes=foreign.classes,
        data=data,
    )
    z, *label = Source(module, metadata).inputs(range(2))
    found = find_interface(module, z, label[0] if label else None, foreign.classes, data)
    for text in found.notes:
        _log.info(f"{data}: {text}")
    return Source(found.module, metadata.with_image(found.image), foreign)


def _check(source: Source) -> None:
    """Raise GantoolError if the module does not behave as a generator in eval mode."""
    inputs = source.inputs(SEEDS)
    name = source.metadata.data
    try:
        with torch.no_grad():
            images = source.module(*inputs).float().numpy()  # [8, C, H, W]
            again = source.module(*inputs).float().numpy()
            rows = [source.module(*(value[index : index + 1] for value in inputs)) for index in SEEDS]
            alone = np.concatenate([row.float().numpy() for row in rows])
            other = None
            if source.classes > 1:
                other = source.module(inputs[0], (inputs[1] + 1) % source.classes).float().numpy()
    except Exception as error:  # find_interface ran it with 2 images already
        raise GantoolError(
            f"the generator of {name} runs with 2 images, but not with another batch or with all of its classes: "
            f"{cause_of(error)}"
        ) from error
    if alone.shape != images.shape:
        raise GantoolError(
            f"the generator of {name} makes images {list(images.shape[1:])} in a batch of {len(images)}, and "
            f"{list(alone.shape[1:])} one by one: its output must not depend on the batch"
        )
    if found := find_problem(images, again, alone, other, source.foreign):
        raise GantoolError(f"the generator of {name} {found}")
    if source.foreign.clamp:
        _log.info(f"{name}: {clamp_note(images, source.foreign)}")


def _warn_of_untrained_batchnorm(source: Source) -> None:
    """Warn if BatchNorm layers still have their initial statistics."""
    norms = {
        name: layer
        for name, layer in source.module.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    }
    new = [
        name
        for name, layer in norms.items()
        if layer.running_var is not None
        and layer.running_mean is not None
        and not layer.running_mean.any()
        and bool((layer.running_var == 1).all())
    ]
    if new:
        more = " ..." if len(new) > 3 else ""
        _log.warning(
            f"warning: {len(new)} of {len(norms)} BatchNorm layers ({', '.join(new[:3])}{more}) have "
            "no statistics of training (mean 0, variance 1). Is this an averaged copy without the buffers, or were "
            "weights not loaded? The images are likely to be wrong"
        )

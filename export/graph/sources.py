"""Load a generator as a PyTorch module, from a run of gantool or from elsewhere, with one interface.

Inputs are z, float32 [N, latent], and for a conditional generator label, int64 [N]. The output is images, float32
[N, C, H, W], in [-1, 1] after --range and --clamp.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantool.export.graph.cause import cause_of
from gantool.export.graph.interface import find_interface, unwrap
from gantool.export.graph.probe import CHECKED, SEEDS, clamp_note, find_problem, to_unit_range
from gantool.export.graph.pytorch_dcgan import build_dcgan, dcgan_mismatch
from gantool.export.graph.user_function import load_module
from gantool.export.graph.weights import ExpectedState, expected_state, read_weights
from gantool.export.options import Foreign
from gantool.export.source import RUNS, origin_of, split_key
from gantool.models import CHECKPOINT_NAME, Checkpoint, load_checkpoint, newest_checkpoint
from gantool.models.alpha import Straight
from gantool.models.sampling import float_images, seed_inputs
from gantool.models.slim import thin_config, thinned
from gantool.models.threads import limit_threads
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import short

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator in eval mode on the CPU, and its metadata."""

    module: nn.Module
    metadata: Metadata  # as in a checkpoint, as far as known
    foreign: Foreign = field(default_factory=Foreign)  # scales its images to [-1, 1]

    @property
    def premultiplied(self) -> bool:
        """Whether `network` makes premultiplied RGBA."""
        return isinstance(self.module, Straight)

    @property
    def network(self) -> nn.Module:
        """The module without the conversion to straight RGBA, which `straight.add_straight` adds to the graph."""
        return self.module.generator if isinstance(self.module, Straight) else self.module

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


def load_source(path: Path | None, foreign: Foreign, share: float | None = None) -> LoadedGenerator:
    """Load a checkpoint of gantool (None: of the newest run), or a generator from elsewhere.

    share: the width to take of an elastic generator; None: all of it.
    """
    limit_threads()
    origin = origin_of(path, foreign)
    if origin == "checkpoint":
        source = _from_run(path, share)
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


def _from_run(path: Path | None, share: float | None) -> LoadedGenerator:
    path = path or newest_checkpoint(RUNS)
    if path.is_dir():  # the folder of a run
        path = path / CHECKPOINT_NAME
    checkpoint = load_checkpoint(path)
    if share is not None and share != 1:
        checkpoint = _slice(checkpoint, share, path)
    network = checkpoint.generator.config
    _log.info(
        f"{path}: {network.architecture}, {network.size.by}×{network.channels}, latent "
        f"{network.latent} {network.distribution}, {checkpoint.metadata.images_seen / 1000:.1f} kimg of "
        f"{short(checkpoint.metadata.data)}"
    )
    module = Straight(checkpoint.generator) if network.channels == 4 else checkpoint.generator
    return LoadedGenerator(module, checkpoint.metadata)


def _slice(checkpoint: Checkpoint, share: float, path: Path) -> Checkpoint:
    """Return the first channels of an elastic generator. Raises UsageError for a share that it does not have."""
    network = checkpoint.generator.config
    if share not in network.elastic:
        known = ", ".join(f"{each:g}" for each in (1.0, *network.elastic))
        advice = f"choose {known}" if network.elastic else "gantool distill --elastic trains one that does"
        raise UsageError(f"`slice` {share:g}: {path} has no such width: {advice}")
    thin = thinned(checkpoint.generator, thin_config(network, share))
    return Checkpoint(thin, checkpoint.metadata.with_config(thin.config.to_json()))


def _from_pytorch_dcgan(file: Path, foreign: Foreign) -> LoadedGenerator:
    """Rebuild `netG` of PyTorch's DCGAN example; the shapes in its state_dict give nz, ngf, nc and the depth."""
    path, key = split_key(file)
    state = read_weights(path, key, ExpectedState("main.0.weight", dcgan_mismatch))
    main = build_dcgan(state)
    nn.ModuleDict({"main": main}).load_state_dict(state)
    latent = int(state["main.0.weight"].shape[0])
    source = _source(main, "pytorch-dcgan", path.name, latent, foreign)
    height, width, _ = source.metadata.image
    _log.info(
        f"{path}: a state_dict does not hold strides and paddings; gantool assumes stride 2 and padding 1, which "
        f"makes {height}×{width}. If your images have another size, use `origin` package.module:function"
    )
    return source


def _from_function(foreign: Foreign) -> LoadedGenerator:
    """Call `package.module:function`, which returns an nn.Module, and load --weights into it."""
    origin = str(foreign.origin)
    module = load_module(origin)
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


def _source(
    module: nn.Module, architecture: str, data: str, latent: int, foreign: Foreign
) -> LoadedGenerator:
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
    z, *label = LoadedGenerator(module, metadata).inputs(range(2))
    found = find_interface(module, z, label[0] if label else None, foreign.classes, data)
    for text in found.notes:
        _log.info(f"{data}: {text}")
    return LoadedGenerator(found.module, metadata.with_image(found.image), foreign)


def _check(source: LoadedGenerator) -> None:
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


def _warn_of_untrained_batchnorm(source: LoadedGenerator) -> None:
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

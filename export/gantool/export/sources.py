"""Generators as PyTorch modules, from a run of gantool or from elsewhere, brought to one form.

A source maps z, float32 [N, latent], and for a conditional generator label, int64 [N], to images, float32
[N, C, H, W] in [-1, 1]. Its metadata are those of a checkpoint, as far as they are known.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gantool.export.behaviour import CHECKED, SEEDS, problem
from gantool.export.options import Foreign
from gantool.models import CHECKPOINT_NAME, load_checkpoint, newest_checkpoint
from gantool.models.threads import limit_threads
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.seeds import labels, latents

Note = Callable[[str], None]
RUNS = Path("runs")


@dataclass(frozen=True)
class Source:
    """A generator in eval mode on the CPU, and what is known of it."""

    module: nn.Module
    metadata: dict[str, Any]

    @property
    def classes(self) -> int:
        """How many classes it knows; 0 without label."""
        return int(self.metadata["classes"])

    def inputs(self, seeds: Sequence[int]) -> tuple[Tensor, ...]:
        """Return z [N, latent], and label [N] of a conditional generator, of `seeds`."""
        latent = self.metadata["latent"]
        z = torch.from_numpy(latents(seeds, latent["size"], latent["distribution"]))
        return (z, torch.from_numpy(labels(seeds, self.classes))) if self.classes else (z,)


def load_source(path: Path | None, foreign: Foreign, note: Note) -> Source:
    """Load what `gantool export` was given: a checkpoint (None: of the newest run), or one from elsewhere."""
    limit_threads()
    if foreign.origin is None:
        if foreign != Foreign():
            raise UsageError(
                "--weights, --latent, --classes and --distribution are for generators from elsewhere: add "
                "--from, or leave them out"
            )
        return _from_run(path, note)
    known = foreign.origin == "pytorch-dcgan"
    source = _from_pytorch_dcgan(path, foreign) if known else _from_function(path, foreign)
    _check(source)
    height, width, channels = source.metadata["image"]
    note(
        f"{source.metadata['data']}: {height}×{width}×{channels}, latent {source.metadata['latent']['size']} "
        f"{foreign.distribution}{f', {source.classes} classes' if source.classes else ''}; {CHECKED}"
    )
    return source


def _from_run(path: Path | None, note: Note) -> Source:
    path = path or newest_checkpoint(RUNS)
    if path.is_dir():  # a run
        path = path / CHECKPOINT_NAME
    checkpoint = load_checkpoint(path)
    network = checkpoint.generator.config
    note(
        f"{path}: {network.architecture}, {network.size}×{network.size}×{network.channels}, latent "
        f"{network.latent} {network.distribution}, {checkpoint.metadata['images_seen'] / 1000:.1f} kimg of "
        f"{checkpoint.metadata['data']}"
    )
    return Source(checkpoint.generator, checkpoint.metadata)


def _from_pytorch_dcgan(path: Path | None, foreign: Foreign) -> Source:
    """Rebuild `netG` of PyTorch's DCGAN example from its state_dict; nz, ngf, nc and stages are read off it."""
    if path is None or foreign.weights or foreign.latent or foreign.classes:
        raise UsageError(
            "--from pytorch-dcgan takes one file, as in gantool export --from pytorch-dcgan netG.pth, and "
            "reads all sizes off it: leave out --weights, --latent and --classes"
        )
    state = _weights(path)
    convolutions = [key for key, weight in state.items() if key.startswith("main.") and weight.ndim == 4]
    if not convolutions or any(state[key].shape[2:] != (4, 4) for key in convolutions):
        raise GantoolError(
            f"{path} is no generator of PyTorch's DCGAN example: expected 4×4 weights main.0.weight, "
            f"main.3.weight ..., found {', '.join(list(state)[:4])} ...; for other networks there is --from "
            "package.module:function"
        )
    layers: list[nn.Module] = []
    for key in convolutions:
        inputs, outputs = state[key].shape[:2]
        first, last = not layers, key == convolutions[-1]
        layers.append(
            nn.ConvTranspose2d(inputs, outputs, 4, 1 if first else 2, 0 if first else 1, bias=False)
        )  # [N, nz, 1, 1] -> [N, C, 4, 4], then doubled by each
        layers += [nn.Tanh()] if last else [nn.BatchNorm2d(outputs), nn.ReLU(True)]
    main = nn.Sequential(*layers)
    _load(nn.ModuleDict({"main": main}), state, path)
    return _source(main, "pytorch-dcgan", path.name, int(state[convolutions[0]].shape[0]), foreign)


def _from_function(path: Path | None, foreign: Foreign) -> Source:
    """Call `package.module:function`, which returns an nn.Module, and load --weights into it."""
    name, _, function = (foreign.origin or "").partition(":")
    if not name or not function:
        raise UsageError(f"--from {foreign.origin}: write pytorch-dcgan, or package.module:function")
    if path is not None:
        raise UsageError(f"--from {foreign.origin} makes the generator: give its weights as --weights {path}")
    if foreign.latent is None:
        raise UsageError(f"--from {foreign.origin} needs the size of z: --latent 128, say")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: the module may lie here
    try:
        module = getattr(importlib.import_module(name), function)()
    except Exception as error:  # whatever the user's code raises
        raise GantoolError(f"--from {foreign.origin} fails: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise GantoolError(f"--from {foreign.origin} returned {type(module).__name__}, expected nn.Module")
    if foreign.weights is not None:
        _load(module, _weights(foreign.weights), foreign.weights)
    data = foreign.weights.name if foreign.weights else str(foreign.origin)
    return _source(module, "foreign", data, foreign.latent, foreign)


def _weights(path: Path) -> dict[str, Tensor]:
    """Read a state_dict without running what a pickle may hold; drop the `module.` of DataParallel."""
    if not path.is_file():
        raise GantoolError(f"there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # torch's own text advises to load it all the same
        raise GantoolError(
            f"{path} holds more than weights, perhaps a whole module, and loading that could run code: save "
            "generator.state_dict()"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise GantoolError(
            f"{path} is no state_dict ({' '.join(str(error).split())[:200]}): give a .pth or .safetensors"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise GantoolError(f"{path} holds no state_dict of tensors: save generator.state_dict()")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _load(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:  # names or shapes
        raise GantoolError(
            f"{path} does not fit the generator: {' '.join(str(error).split())[:300]}"
        ) from error


class _OfRows(nn.Module):
    """Take z as [N, L] where the inner generator wants columns, [N, L, 1, 1]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, z: Tensor, label: Tensor | None = None) -> Any:
        columns = z[:, :, None, None]  # [N, L, 1, 1]
        return self.inner(columns) if label is None else self.inner(columns, label)


def _source(module: nn.Module, architecture: str, data: str, latent: int, foreign: Foreign) -> Source:
    """Find out which shape of z the module takes. Raises GantoolError, quoting both attempts, if none."""
    module.eval().float().cpu()
    metadata: dict[str, Any] = {
        "format": 1,
        "architecture": architecture,
        "latent": {"size": latent, "distribution": foreign.distribution},
        "classes": foreign.classes,
        "data": data,
        "gantool": version("gantool"),
    }
    refusals = []
    for candidate in (Source(module, metadata), Source(_OfRows(module).eval(), metadata)):
        try:
            with torch.no_grad():
                images = candidate.module(*candidate.inputs(range(2)))
            match images:
                case Tensor(shape=(2, (1 | 3) as channels, height, width)):
                    metadata["image"] = [int(height), int(width), int(channels)]
                    return candidate
            refusals.append(
                f"gave {list(images.shape) if isinstance(images, Tensor) else type(images).__name__}"
            )
        except Exception as error:  # noqa: PERF203 (whatever the module raises)
            refusals.append(f"failed ({' '.join(str(error).split())[:200]})")
    takes = (
        "" if foreign.classes else f"; it takes {inspect.signature(module.forward)}: is --classes missing?"
    )
    raise GantoolError(
        f"the generator of {data} makes no images [N, 1 or 3, H, W]: z [2, {latent}] {refusals[0]}, z "
        f"[2, {latent}, 1, 1] {refusals[1]}{takes}"
    )


def _check(source: Source) -> None:
    """Raise GantoolError unless the module behaves as a generator in eval mode."""
    inputs = source.inputs(SEEDS)
    with torch.no_grad():
        images = source.module(*inputs).float().numpy()  # [8, C, H, W]
        again = source.module(*inputs).float().numpy()
        alone = np.concatenate(
            [source.module(*(value[index : index + 1] for value in inputs)).numpy() for index in SEEDS]
        )
        other = (
            source.module(inputs[0], (inputs[1] + 1) % source.classes).numpy() if source.classes > 1 else None
        )
    if found := problem(images, again, alone, other):
        raise GantoolError(f"the generator of {source.metadata['data']} {found}")

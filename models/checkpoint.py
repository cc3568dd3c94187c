"""The checkpoint: `generator.safetensors`, weights plus one JSON value `gantool` in the header of the file.

The JSON has everything that the exporter and the runtime need: architecture and config, image and latent, images
seen, data set, and the version of gantool. The file has no pickle, so loading it executes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from gantool.models.config import CHECKPOINT_NAME as CHECKPOINT_NAME
from gantool.models.config import NetworkConfig, config_from_json
from gantool.models.network import Generator
from gantool.models.quantize import RANGES, QuantizedGenerator
from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.metadata import FORMAT, Metadata
from gantool.runtime.process.terminal import message_of, reason_of, short
from gantool.runtime.runs import newest_run


@dataclass(frozen=True)
class Checkpoint:
    """A generator in eval mode on the CPU, and the metadata of its file."""

    generator: Generator
    metadata: Metadata


def save_checkpoint(
    path: Path,
    generator: Generator,
    images_seen: int,
    data: str,
    class_names: tuple[str, ...] = (),
    class_counts: tuple[int, ...] = (),
) -> None:
    """Write the generator's weights and metadata to `path`, whole or not at all.

    `class_counts` are the numbers of training images of the classes. The ranges of one that was trained in INT8 are
    metadata, so any version of gantool loads the file, and makes its images in float32.
    """
    state = {name: tensor for name, tensor in generator.state_dict().items() if name != RANGES}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    limits = generator.limits if isinstance(generator, QuantizedGenerator) else ()
    metadata = _metadata(generator.config, images_seen, data, class_names, class_counts, limits)
    with atomic(path) as part:
        part.write_bytes(save(tensors, metadata={"gantool": json.dumps(metadata.to_json())}))


def _metadata(
    config: NetworkConfig,
    images_seen: int,
    data: str,
    class_names: tuple[str, ...] = (),
    class_counts: tuple[int, ...] = (),
    int8_limits: Sequence[float] = (),
) -> Metadata:
    return Metadata.of(
        architecture=config.architecture,
        config=config.to_json(),
        image=(*config.size, config.channels),
        bits=config.bits,
        latent=config.latent,
        distribution=config.distribution,
        classes=config.classes,
        images_seen=images_seen,
        data=data,
        class_names=class_names,
        class_counts=class_counts,
        int8_limits=int8_limits,
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises GantoolError for a file that is missing, damaged or not a checkpoint."""
    if not path.is_file():
        raise GantoolError(f"there is no checkpoint {path}: train one with `gantool train`")
    kind = kind_of(path)
    if kind.name != "checkpoint":
        raise GantoolError(wrong(path, "the generator.safetensors of a run", kind))
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("gantool", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise GantoolError(
            f"{path} is a damaged safetensors file ({reason_of(error)}): copy it again"
        ) from error
    metadata = Metadata.parse(header, path)
    if metadata.format != FORMAT:
        raise GantoolError(
            f"{path} has checkpoint format {short(metadata.format)}, this gantool reads {FORMAT}: "
            f"it was written by gantool {short(metadata.gantool)}; install that version or newer"
        )
    try:
        with torch.device("meta"):  # allocates no memory: the config in a file may describe a huge network
            generator = Generator(config_from_json(metadata.config))
        generator.load_state_dict(tensors, assign=True)
        generator.float()
    except (ValueError, TypeError, KeyError, RuntimeError, RecursionError) as error:
        # RuntimeError: names or shapes of the weights do not fit the config
        raise GantoolError(
            f"{path} describes a generator that this gantool cannot build: {message_of(error, 300)}"
        ) from error
    _check(metadata, generator.config)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise GantoolError(f"{path} holds NaN or infinity in {short(name)}: use an earlier checkpoint")
    # escape the name of the data, which will be printed
    return Checkpoint(generator.eval(), metadata.with_data(metadata.data.encode("unicode_escape").decode()))


def _check(metadata: Metadata, config: NetworkConfig) -> None:
    """Raise GantoolError if a field that export or the runtime reads is wrong, or contradicts the config."""
    expected = _metadata(config, 0, "").to_json()
    for name in ("latent", "classes"):
        if metadata.to_json().get(name) != expected[name]:
            raise metadata.wrong(name, f"{expected[name]}, that of 'config'")
    _ = metadata.images_seen, metadata.data


def newest_checkpoint(runs: Path) -> Path:
    """Return the checkpoint with the highest run number in `runs`. Raises GantoolError if there is none."""
    run = newest_run(runs, CHECKPOINT_NAME)
    if run is None:
        raise GantoolError(
            f"no run with a checkpoint in {runs}/: train one with `gantool train`, or name a file"
        )
    return run / CHECKPOINT_NAME

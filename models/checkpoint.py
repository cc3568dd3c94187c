"""The checkpoint: `generator.safetensors`, weights plus one JSON value `gantool` in the header of the file.

The JSON carries everything that the exporter and the runtime need: architecture and config, image and latent,
images seen, data set, and the version that wrote it. There is no pickle in it, so loading executes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from gantool.models.config import CHECKPOINT_NAME as CHECKPOINT_NAME
from gantool.models.config import NetworkConfig, config_from_json
from gantool.models.network import Generator
from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic
from gantool.runtime.process.terminal import reason_of, short
from gantool.runtime.runs import newest_run

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A generator in eval mode on the CPU, and the metadata of its file."""

    generator: Generator
    metadata: dict[str, Any]


def save_checkpoint(
    path: Path, generator: Generator, images_seen: int, data: str, class_names: tuple[str, ...] = ()
) -> None:
    """Write the generator's weights and metadata to `path`, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    metadata = _metadata(generator.config, images_seen, data)
    if class_names:
        metadata["class_names"] = list(class_names)
    with atomic(path) as part:
        part.write_bytes(save(tensors, metadata={"gantool": json.dumps(metadata)}))


def _metadata(config: NetworkConfig, images_seen: int, data: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "architecture": config.architecture,
        "config": config.to_json(),
        "image": [config.size, config.size, config.channels],  # H, W, C
        "latent": {"size": config.latent, "distribution": config.distribution},
        "classes": config.classes,
        "images_seen": images_seen,
        "data": data,
        "gantool": version("gantool"),
    }


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises GantoolError for a file that is missing, damaged, or not a checkpoint."""
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
    try:
        metadata = json.loads(header)
        if metadata["format"] != FORMAT:
            raise GantoolError(
                f"{path} has checkpoint format {short(metadata['format'])}, this gantool reads {FORMAT}: "
                f"it was written by gantool {short(metadata.get('gantool'))}; install that version or newer"
            )
        with torch.device("meta"):  # shapes without memory: the config of a file may ask for any amount
            generator = Generator(config_from_json(metadata["config"]))
        generator.load_state_dict(tensors, assign=True)
        generator.float()
        expected = _metadata(generator.config, 0, "")
        for field in ("latent", "classes"):
            if metadata[field] != expected[field]:
                raise ValueError(f"{field} {metadata[field]} is not that of the config")
        if type(seen := metadata["images_seen"]) not in (int, float) or not 0 <= seen < 2**63:
            raise ValueError(f"images_seen {str(seen)[:40]!r} is not a count")
        metadata["data"] = str(metadata["data"]).encode("unicode_escape").decode()  # it will be printed
    except (ValueError, TypeError, KeyError, RuntimeError, RecursionError) as error:
        # RuntimeError: names or shapes of the weights do not fit the config
        reason = " ".join(str(error).split())[:300]
        raise GantoolError(
            f"{path} describes a generator that this gantool cannot build: {reason}"
        ) from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise GantoolError(f"{path} holds NaN or infinity in {short(name)}: use an earlier checkpoint")
    return Checkpoint(generator.eval(), metadata)


def newest_checkpoint(runs: Path) -> Path:
    """Return the checkpoint of the run with the highest number in `runs` that has one."""
    run = newest_run(runs, CHECKPOINT_NAME)
    if run is None:
        raise GantoolError(
            f"no run with a checkpoint in {runs}/: train one with `gantool train`, or name a file"
        )
    return run / CHECKPOINT_NAME

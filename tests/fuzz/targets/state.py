"""The state of a run, training_state.pt, for `--resume`: numbers, texts and lists where others belong.

An input is JSON: values that replace those of a valid state, also its networks and optimizers. `weights` has the
bytes of such files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from lightning_fabric import Fabric

from fuzz.harness import folder
from fuzz.mutate import json_values
from gantool.train.distributed import single_device
from gantool.train.options import TrainingOptions, from_preset
from gantool.train.state import load_state, new_state, random_state, save_state

MUTATE = json_values
_PLAIN = (int, float, str)


def seeds() -> Iterator[bytes]:
    content = _valid()[0]
    plain: dict[str, Any] = {name: value for name, value in content.items() if isinstance(value, _PLAIN)}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        plain[name] = {"state": {}, "param_groups": content[name]["param_groups"]}
    yield json.dumps(plain).encode()
    yield b'{"generator": {}, "images_seen": 5, "random": [0], "latent_stream": 1}'
    yield b'{"precision": {"scale": 2.0}, "best": null, "format": 3}'


def run(data: bytes) -> None:
    content, options, fabric = _valid()
    path = folder() / "training_state.pt"
    try:
        changed = json.loads(data)
        torch.save(content | changed if isinstance(changed, dict) else changed, path)
    except (ValueError, RecursionError):
        return
    load_state(path, options, fabric)


@cache
def _valid() -> tuple[dict[str, Any], TrainingOptions, Fabric]:
    """Return the content of a state, and what it belongs to."""
    options = from_preset({"preset": "dcgan16", "width": 2, "channels": 1, "device": "cpu"})
    fabric = single_device("cpu")
    state = new_state(options, fabric)
    path = folder() / "valid.pt"
    save_state(path, state, random_state(state))
    return torch.load(path, weights_only=True), options, fabric

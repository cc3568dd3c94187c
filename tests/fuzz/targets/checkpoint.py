"""A checkpoint, generator.safetensors: the metadata of a stranger over the weights of a tiny generator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from safetensors.torch import save

from fuzz.harness import put
from fuzz.mutate import json_values
from gantool.export.safetensors_header import checkpoint_metadata
from gantool.models.checkpoint import load_checkpoint, save_checkpoint
from gantool.models.config import NetworkConfig, square
from gantool.models.network import Generator

MUTATE = json_values


@cache
def _tiny() -> tuple[dict[str, Any], Generator]:
    generator = Generator(NetworkConfig(size=square(16), latent=4, width=2))
    path = put("tiny.safetensors", b"")
    save_checkpoint(path, generator, 1000, "tiny")
    return checkpoint_metadata(path).to_json(), generator


def seeds() -> Iterator[bytes]:
    metadata, _ = _tiny()
    yield json.dumps(metadata).encode()
    yield json.dumps(
        {**metadata, "config": {**metadata["config"], "size": [16, 16], "elastic": [0.5]}}
    ).encode()


def run(data: bytes) -> None:
    _, generator = _tiny()
    text = data.decode("utf-8", "replace")
    path = put("g.safetensors", save(generator.state_dict(), {"gantool": text}))
    found = load_checkpoint(path)
    assert found.generator.config.latent == found.metadata.latent

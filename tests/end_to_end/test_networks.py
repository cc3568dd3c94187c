"""Every kind of network goes the whole way to a graph, with its gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import run_gantool
from gantool.models import Generator, NetworkConfig, save_checkpoint, square
from gantool.models.attention import SelfAttention
from gantool.runtime import Generator as Engine
from gantool.runtime.outputs.images import to_uint8

SMALL = NetworkConfig(size=square(16), width=8, latent=16)


def save_lived_in(path: Path, change: dict[str, Any]) -> Generator:
    """Write a checkpoint whose images are not grey, and return its generator."""
    torch.manual_seed(0)
    config = replace(SMALL, **change)
    generator = Generator(config)
    with torch.no_grad():  # fresh weights make all but grey images, which the gate takes for dead
        for weight in generator.parameters():
            if weight.dim() == 4:
                weight.normal_(0, 1.5 * (weight[0].numel() ** -0.5))
        for layer in generator.modules():
            if isinstance(layer, SelfAttention):
                layer.gamma.fill_(1)
        for _ in range(20):
            generator(torch.randn(64, config.latent), torch.arange(64) % 3 if config.classes else None)
    save_checkpoint(path, generator.eval(), 0, "noise", ("a", "b", "c")[: config.classes])
    return generator


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "resnet"},
        {"architecture": "r3gan", "channels": 3},
        {"upsampling": "resize"},
        {"classes": 3},
        {"architecture": "resnet", "attention": 8},
        {"architecture": "r3gan", "attention": 4},
    ],
    ids=str,
)
def test_exports(tmp_path: Path, change: dict[str, Any]) -> None:
    config = save_lived_in(tmp_path / "c.safetensors", change).config
    result = run_gantool("export", "c.safetensors", "--engine", "none", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with Engine.load(tmp_path / "g.onnx") as engine:
        assert engine.spec.classes == config.classes
        images = engine.images(range(4))
        assert images.shape == (4, 16, 16, config.channels)
        if config.classes:
            assert np.abs(images - engine.images(range(4), label=1).astype(float)).max() > 8


def test_a_truncated_distribution_goes_the_whole_way(tmp_path: Path) -> None:
    """z by its plain definition, through graph, FP16, bundle and --trunc."""
    generator = save_lived_in(tmp_path / "c.safetensors", {"distribution": "truncated", "latent": 64})
    flags = ("--fp16", "--engine", "none", "--bundle", "g.tar")
    run_gantool("export", "c.safetensors", *flags, cwd=tmp_path, check=True)
    run_gantool("verify", "c.safetensors", "g.onnx", "g.fp16.onnx", cwd=tmp_path, check=True)
    run_gantool("export", "g.tar", "--engine", "none", "-o", "device/g", cwd=tmp_path, check=True)
    stream = np.random.RandomState(3)
    z = stream.randn(64)
    while (beyond := np.abs(z) > 2).any():
        z[beyond] = stream.randn(beyond.sum())
    for scale in (1.0, 0.5):
        with torch.no_grad():
            expected = to_uint8(generator(torch.from_numpy((z * scale)[None].astype(np.float32))).numpy())
        with Engine.load(tmp_path / "g.onnx") as engine:
            assert engine.spec.distribution == "truncated"
            found = engine.images([2, 3], truncation=scale)[1:]  # [1, H, W, C]
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_a_conditional_run(tmp_path: Path, tiny_data: Path) -> None:  # noqa: ARG001
    """Labels of folders, through training, to an image of a class by its name."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(20):
            grey = rng.integers(0, 60, (16, 16)) + (180 if name == "light" else 0)
            Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "data" / name / f"{index}.png")
    flags = ("--data", "data", "--size", "16", "--width", "8", "--latent", "8", "--lr", "0.002")
    run_gantool("train", *flags, "--conditional", "--kimg", "12", "--no-autotune", cwd=tmp_path, check=True)
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "training_options.json").read_text())["network"]["classes"] == 2
    run_gantool("export", "--engine", "none", cwd=tmp_path, check=True)
    with Engine.load(tmp_path / "g.onnx") as engine:
        dark, light = (engine.images(range(16), label=label).astype(float).mean() for label in (0, 1))
    assert light > dark + 40
    result = run_gantool("train", "--conditional", "--data", "data/dark", cwd=tmp_path)
    assert (
        result.returncode,
        "has no labels (its images all lie in one folder); put its images into a folder for each class"
        in result.stderr,
    ) == (2, True)

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
from gantool.models import Generator, NetworkConfig, save_checkpoint
from gantool.runtime import Generator as Engine

SMALL = NetworkConfig(size=16, width=8, latent=16)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "resnet"},
        {"architecture": "r3gan", "channels": 3},
        {"upsampling": "resize"},
        {"classes": 3},
    ],
    ids=str,
)
def test_exports(tmp_path: Path, change: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = replace(SMALL, **change)
    generator = Generator(config)
    with torch.no_grad():  # fresh weights make all but grey images, which the gate takes for dead
        for weight in generator.parameters():
            if weight.dim() == 4:
                weight.normal_(0, 1.5 * (weight[0].numel() ** -0.5))
        for _ in range(20):
            generator(torch.randn(64, 16), torch.arange(64) % 3 if config.classes else None)
    save_checkpoint(
        tmp_path / "c.safetensors", generator.eval(), 0, "noise", ("a", "b", "c")[: config.classes]
    )
    result = run_gantool("export", "c.safetensors", "--engine", "none", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with Engine.load(tmp_path / "g.onnx") as engine:
        assert engine.spec.classes == config.classes
        images = engine.images(range(4))
        assert images.shape == (4, 16, 16, config.channels)
        if config.classes:
            assert np.abs(images - engine.images(range(4), label=1).astype(float)).max() > 8


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
        "has no labels; put its images into a folder for each class" in result.stderr,
    ) == (2, True)

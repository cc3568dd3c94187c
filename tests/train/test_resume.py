"""A resumed run equals an unbroken one bit for bit, and measuring changes nothing, whatever the flags."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from field.cases import gantool
from gantool.train import callbacks

BASE = (
    "--no-autotune --device cpu --width 4 --size 16 --latent 8 --batch 16 --tick 0.064 --snap 2 --kimg {kimg}"
)
STEPS = 16
NOT_OF_THE_RUN = ("tick", "seconds", "best", "measured")  # of the clock, and of what was asked for beside

# what draws random numbers, or has a state of its own
FLAGS = {
    "instance-noise": "--instance-noise 0.1",
    "conditional": "--conditional --augment diff --instance-noise 0.05 --mirror",
}
MORE = {
    "plain": "",
    "ada": "--augment ada --mirror",
    "dropout": "--preset dcgan5-32 --size 32 --gp 1",
    "mirror": "--mirror",
    "diff": "--augment diff",
    "lazy": "--r1 1 --r2 0.5 --lazy 3",
    "wgan-gp": "--loss wgan-gp --lazy 2",
    "relativistic": "--preset r3gan32",
    "hinge-attention": "--preset resnet32 --attention 8",
    "spectral": "--d-norm spectral",
    "uniform": "--distribution uniform --optimizer sgd --lr 0.01",
    "truncated": "--distribution truncated --warmup-kimg 0.2 --lr-d 0.0001",
    "accumulate": "--accumulate 3 --augment diff --instance-noise 0.1 --gp 0.5",
    "bf16": "--precision bf16 --instance-noise 0.1",
    "fp16": "--precision fp16 --instance-noise 0.1 --d-norm spectral --downsampling pooling",
    "all": "--conditional --augment ada --mirror --instance-noise 0.1 --r1 1 --gp 1 --lazy 2 --accumulate 2 "
    "--distribution truncated --warmup-kimg 0.1 --preset dcgan5-32 --size 32 --upsampling resize --precision bf16",
}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two classes, 40 images each."""
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for number, name in enumerate(("flat", "tall")):
        (root / name).mkdir()
        for index in range(40):
            image = rng.integers(0, 60, (16, 16)).astype(np.uint8)
            image[(slice(5, 9), slice(None))[number], (slice(None), slice(5, 9))[number]] = 180 + index
            Image.fromarray(image).save(root / name / f"{index}.png")
    return root


def train(folder: Path, flags: str, steps: int) -> None:
    folder.mkdir(exist_ok=True)
    answer = gantool(f"train {flags}".format(kimg=steps * 16 / 1000), folder)
    assert answer.code == 0, answer.err


def state(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("runs/*/training_state.pt")
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return {name: value for name, value in content.items() if name not in NOT_OF_THE_RUN}


def assert_same(a: Any, b: Any, where: str = "state") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{where}/{index}")
    else:
        assert a == b, where


@pytest.mark.parametrize("name", [*FLAGS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_stopped_and_measured_a_run_is_the_same(
    name: str, classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unbroken without measuring; with measuring; stopped at random steps, resumed, measured and saved by time."""
    flags = f"--data {classes} {BASE} {(FLAGS | MORE)[name]}"
    measured = f"{flags} --metric-every 0.1"
    monkeypatch.setattr(callbacks, "SAMPLES", 200)  # of 5,000, for speed
    train(tmp_path / "unbroken", flags, STEPS)
    train(tmp_path / "measured", measured, STEPS)
    stops = sorted(random.Random(name).sample(range(1, STEPS), 3))
    train(tmp_path / "stopped", measured, stops[0])
    monkeypatch.setattr(callbacks, "OFTEN", 0.0)  # after each step
    for steps in (*stops[1:], STEPS):
        train(tmp_path / "stopped", "--resume latest --kimg {kimg}", steps)
    assert list((tmp_path / "stopped").glob("runs/*/best.safetensors"))
    assert_same(state(tmp_path / "unbroken"), state(tmp_path / "measured"))
    assert_same(state(tmp_path / "unbroken"), state(tmp_path / "stopped"), f"stopped after {stops}")


def test_a_run_that_ended_unsaved_is_told(classes: Path, tmp_path: Path) -> None:
    begin = ["train", *BASE.format(kimg=0.064).split(), "--data", str(classes)]
    assert gantool(begin, tmp_path).code == 0
    (saved,) = (tmp_path / "runs").iterdir()
    unsaved = saved.with_name("00001-unsaved")
    unsaved.mkdir()
    shutil.copy(saved / "training_options.json", unsaved)
    answer = gantool(["train", "--resume", "latest", "--kimg", "0.128"], tmp_path)
    assert answer.code == 0
    assert f"runs/00001-unsaved ended before it saved its state: runs/{saved.name} goes on" in answer.err
    answer = gantool(["train", "--resume", "runs/00001-unsaved"], tmp_path)
    assert (answer.code, "begin it again" in answer.err) == (1, True)

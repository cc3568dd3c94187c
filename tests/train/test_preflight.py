"""What is answered before torch is loaded: a subprocess, since this one has it already."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.models import PRESETS, SIZES, Size, square
from gantool.models.config import parse_size
from gantool.train.losses import LOSSES
from gantool.train.options import PENALTIES, from_preset
from gantool.train.presets import fitting

HEAVY = {"torch", "lightning_fabric", "safetensors", "onnx", "onnxruntime"}
SCRIPT = """
import json, sys
from gantool.__main__ import run
codes = [run(words) for words in json.loads(sys.argv[1])]
print(json.dumps([codes, sorted(sys.modules)]), file=sys.__stdout__)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / "set" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("text")
    return tmp_path


def test_no_torch_before_it_is_needed(folder: Path) -> None:
    commands = {
        "train --data nothing": 1,
        "train --data notes.txt": 1,
        "train --data empty": 1,
        "train --preset smal": 2,
        "train --size 33": 2,
        "train --channels 2": 2,
        "train --bits 16 --channels 3": 2,
        "train --levels 9-3": 2,
        "train --size 64x66": 2,
        "train --loss l2": 2,
        "train --kimg 0": 2,
        "train --background red": 2,
        "train --data set/cat --conditional": 2,
        "train --resume nothing": 1,
        "train --data set --conditional -n": 0,
        "data nothing": 1,
        "data empty": 1,
        "data set --size 33": 2,
        "data set": 0,
        "evaluate nothing": 1,
        "evaluate empty": 1,
        "evaluate set --data nothing": 1,
        "evaluate set --data set --samples 1": 2,
    }
    words = json.dumps([command.split() for command in commands])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, words], cwd=folder, capture_output=True, text=True, check=True
    )
    codes, modules = json.loads(result.stdout.splitlines()[-1])
    assert dict(zip(commands, codes, strict=True)) == commands, result.stderr
    assert not HEAVY & set(modules)


def test_a_preset_that_fits() -> None:
    assert fitting(square(64), 600) == ("small", [])
    assert fitting(square(32), 4_000) == ("small", ["--size 32"])
    assert fitting(square(64), 60_000) == ("dcgan64", [])
    assert fitting(Size(96, 64), 60_000) == ("dcgan64", ["--size 96x64"])
    for size, count in product((*map(square, SIZES), Size(96, 64), Size(28, 56)), (20, 100_000)):
        preset, flags = fitting(size, count)
        network = PRESETS[preset]
        if flags:
            network = replace(network, size=parse_size(flags[0].split()[1]))
        assert network.size == size


@pytest.mark.parametrize(
    ("given", "size"), [(64, (64, 64)), ("64", (64, 64)), ("96x64", (96, 64)), ([96, 64], (96, 64))]
)
def test_a_size_from_python_or_from_a_file(given: object, size: tuple[int, int]) -> None:
    """As a flag takes it, or as training_options.json has it; it comes back from there."""
    options = from_preset({"size": given})
    assert options.network.size == size
    written = json.loads(json.dumps(options.to_json()))["network"]["size"]
    assert from_preset({"size": written}) == options


def test_every_loss_has_its_penalties() -> None:
    assert PENALTIES.keys() == LOSSES.keys()

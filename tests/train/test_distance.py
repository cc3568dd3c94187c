"""The distance of `gantool export --data` to the data, converted as for training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.models.config import Size
from gantool.train.data.dataset import load_images
from gantool.train.metrics.distance import distance_to
from gantool.train.options import from_preset


def test_the_data_are_converted_as_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    data = tmp_path / "discs"
    data.mkdir()
    for index in range(24):
        pixels = rng.integers(60, 200, (16, 24, 4), np.uint8)
        pixels[:, :12, 3] = 0  # transparent
        Image.fromarray(pixels).save(data / f"{index}.png")
    options = from_preset({"data": str(data), "size": Size(16, 16), "background": "black", "fit": "stretch"})
    run = tmp_path / "run"
    run.mkdir()
    (run / "training_options.json").write_text(json.dumps(replace(options, data=str(data)).to_json()))
    (run / "generator.safetensors").touch()
    images = np.array(load_images(str(data), Size(16, 16), 3, "black", "stretch").images)
    assert distance_to(str(data), "classifier", run)(images) == pytest.approx(0, abs=1e-3)
    assert distance_to(str(data), "classifier", tmp_path / "g.onnx")(images) > 1

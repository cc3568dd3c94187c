"""examples/foreign-generator: the graph's images are the module's, and a student learns from the graph."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import run_gantool
from gantool.runtime import Generator
from helpers.examples import EXAMPLES, script


@pytest.mark.slow
def test_a_module_becomes_a_graph_and_a_student(tmp_path: Path) -> None:
    style = script("foreign-generator/style.py")
    shutil.copy(EXAMPLES / "foreign-generator/style.py", tmp_path)
    style.write(tmp_path / "weights.pth")
    flags = ("--weights", "weights.pth", "--latent", "128", "--clamp", "--engine", "none")
    run_gantool("export", "--from", "style:make", *flags, cwd=tmp_path, check=True)
    module = style.make()
    module.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True)["g_ema"])
    with Generator.load(tmp_path / "g.onnx", "cpu") as generator, torch.no_grad():  # OpenVINO may take BF16
        assert generator.spec.max_batch is None
        images = generator.images(range(8))
        made = module(torch.from_numpy(generator.z(range(8)))).clamp(-1, 1)
    expected = (made.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(images - expected).max() < 1.5
    assert expected.std(0).mean() > 10  # seeds differ
    run_gantool("distill", "g.onnx", "--width", "4", "--kimg", "0.1", cwd=tmp_path, check=True)
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "likeness.json").is_file()

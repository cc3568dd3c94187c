"""`gantool directions`, and generate along them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import run_gantool
from gantool.export.directions import closed_form, linear_matrix
from gantool.models import NetworkConfig, save_checkpoint
from gantool.models.config import square
from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError
from helpers.networks import lived_in


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 30))
def test_the_closed_form_finds_what_a_matrix_enlarges_most(seed: int, latent: int, outputs: int) -> None:
    matrix = np.random.RandomState(seed).randn(latent, outputs)
    vectors, strengths = closed_form(matrix, latent)
    assert np.allclose(vectors @ vectors.T, np.eye(latent), atol=1e-5)  # orthogonal, of length 1
    assert (np.diff(strengths) <= 1e-6).all()  # the strongest first
    assert np.allclose(np.linalg.norm(vectors @ matrix, axis=1), strengths, atol=1e-4)
    others = np.random.RandomState(seed + 1).randn(50, latent)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert (np.linalg.norm(others @ matrix, axis=1) <= strengths[0] + 1e-4).all()


def test_a_layer_behind_a_normalization_has_no_matrix() -> None:
    with pytest.raises(GantoolError, match="normalized"):
        linear_matrix(lambda z: z / np.sqrt((z**2).mean(1, keepdims=True) + 1e-8), 8, Path("g.onnx"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a conditional generator as checkpoint and graph."""
    folder = tmp_path_factory.mktemp("directions")
    config = NetworkConfig(size=square(16), width=8, latent=12, classes=3)
    save_checkpoint(folder / "g.safetensors", lived_in(config), 1000, "shapes", ("disc", "box", "ring"))
    run_gantool("export", "g.safetensors", "--engine", "none", cwd=folder, check=True)
    return folder


def test_checkpoint_and_graph_have_the_same_directions(files: Path) -> None:
    for source in ("g.safetensors", "g.onnx"):
        flags = ("--count", "3", "--group", "smile=1,5,9/2,7", "-o", f"{source}.npz")
        run_gantool("directions", source, *flags, cwd=files, check=True)
    one, other = (Directions.load(files / f"{name}.npz") for name in ("g.safetensors", "g.onnx"))
    assert one.names == other.names == ("0", "1", "2", "smile")
    assert np.allclose(one.vectors, other.vectors, atol=1e-3)
    with Image.open(files / "g.onnx.png") as a, Image.open(files / "g.safetensors.png") as b:
        assert a.size == b.size
        assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 2

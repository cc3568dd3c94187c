"""`gantool directions`, and generate along them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from gantool.runtime.generator import Generator
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
    run_gantool("export", "g.safetensors", "--fp16", "--engine", "none", cwd=folder, check=True)
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


def made(folder: Path, *flags: str) -> Any:
    """Return the image of seed 0 of class 1 with these flags, [16, 16]."""
    run_gantool(
        "generate", "g.onnx", "--seeds", "0", "--class", "1", "--force", *flags, cwd=folder, check=True
    )
    with Image.open(folder / "images/seed0000.png") as image:
        return np.asarray(image).astype(int)


def test_generate_moves_along_directions(files: Path) -> None:
    run_gantool("directions", "g.onnx", "--group", "smile=1,5,9/2,7", cwd=files, check=True)
    known = Directions.load(files / "directions.npz")
    with Generator.load(files / "g.onnx") as generator:
        z = generator.z([0]) + 1.5 * known.vectors[0] - 2 * known.vectors[known.names.index("smile")]
        expected = generator.images(z=z, label=1)[0, :, :, 0].astype(int)
    moved = made(files, "--direction", "0=1", "--direction", "smile=-2", "--direction", "0=0.5")
    assert np.abs(moved - expected).max() <= 1
    assert np.abs(made(files) - expected).mean() > 1


def test_groups_alone_need_no_first_layer(files: Path) -> None:
    flags = ("--count", "0", "--group", "smile=1,5,9/2,7", "-o", "groups.npz")
    run_gantool("directions", "g.fp16.onnx", *flags, cwd=files, check=True)
    assert Directions.load(files / "groups.npz").names == ("smile",)


def test_a_sheet_replaces_no_other_picture(files: Path) -> None:
    (files / "photo.png").write_text("somebody's")
    result = run_gantool("directions", "g.onnx", "-o", "photo.npz", cwd=files)
    assert (result.returncode, "its sheet would replace photo.png" in result.stderr) == (2, True)
    assert (files / "photo.png").read_text() == "somebody's"
    assert not (files / "photo.npz").exists()
    for _ in range(2):  # its own sheet may be replaced
        run_gantool("directions", "g.onnx", "-o", "again.npz", cwd=files, check=True)


@pytest.mark.parametrize(
    ("flags", "code", "problem"),
    [
        (("generate", "g.onnx", "--direction", "7"), 2, "write the direction and the steps"),
        (("generate", "g.onnx", "--direction", "frown=1"), 2, "the directions of this file are 0, 1"),
        (("generate", "g.onnx", "--direction", "0=1", "--directions", "no.npz"), 1, "there is no no.npz"),
        (
            ("generate", "g.onnx", "--direction", "0=1", "--directions", "g.onnx"),
            1,
            "does not hold directions",
        ),
        (("directions", "g.onnx", "--group", "smile"), 2, "write a name"),
        (("directions", "g.onnx", "--group", "smile=1/1"), 2, "give different seeds"),
        (
            ("generate", "g.onnx", "--direction", "0=1", "--directions", "cut.npz"),
            1,
            "does not hold directions",
        ),
        (
            ("generate", "g.onnx", "--direction", "0=1", "--directions", "one.npy"),
            1,
            "it is an .npy, one array",
        ),
        (("generate", "g.onnx", "--direction", "0=1e300"), 2, "beyond float32: give smaller ones"),
        (
            ("generate", "g.onnx", "--direction", "0=3e38", "--direction", "0=3e38"),
            2,
            "beyond float32",
        ),
        (
            ("generate", "g.onnx", "--z", "far.npy", "--class", "1", "--direction", "0=3e38"),
            2,
            "beyond float32",
        ),
        (("directions", "g.onnx", "--group", "0=1/2"), 2, "another direction has this name"),
        (("directions", "g.onnx", "--group", "a=1/2", "--group", "a=3/4"), 2, "has this name"),
        (("directions", "g.onnx", "--group", "a=0-4294967295/4"), 2, "at most 100,000"),
        (("directions", "g.fp16.onnx"), 1, "computes in FP16"),
        (("directions", "g.onnx", "--count", "0"), 2, "leaves no direction"),
        (("directions", "g.onnx", "-o", "d.json"), 2, "ends in .npz"),
        (("directions", "g.onnx", "--class", "disk"), 2, "did you mean disc?"),
        (("directions", "none.onnx"), 1, "none.onnx"),
    ],
)
def test_wrong_directions(files: Path, flags: tuple[str, ...], code: int, problem: str) -> None:
    if not (files / "directions.npz").exists():
        run_gantool("directions", "g.onnx", cwd=files, check=True)
    np.save(files / "far.npy", np.full((1, Directions.load(files / "directions.npz").vectors.shape[1]), 3e38))
    np.save(files / "one.npy", np.ones((1, 16), np.float32))
    (files / "cut.npz").write_bytes((files / "directions.npz").read_bytes()[:300])
    result = run_gantool(*flags, cwd=files)
    assert (result.returncode, problem in result.stderr) == (code, True), result.stderr

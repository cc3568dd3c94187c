"""examples/textures: the seam of a generated tile is no rougher than its inside, unlike that of a photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import run_gantool
from helpers.examples import script

FLAGS = ("--preset", "small", "--size", "32", "--width", "8", "--tile", "--no-autotune")


def seam_by_inside(folder: Path, measure: Callable[[NDArray[np.uint8]], tuple[float, float]]) -> float:
    """Return how much more neighbours differ across the seam than inside, over all tiles of a folder."""
    tiles = [np.asarray(Image.open(path)) for path in folder.glob("*[0-9].png")]
    assert np.std(tiles) > 10
    seam, inside = np.mean([measure(tile) for tile in tiles], axis=0)
    return float(seam / inside)


@pytest.mark.slow
def test_tiles_have_no_seam(tmp_path: Path) -> None:
    crops = script("textures/crops.py")
    cells = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    Image.fromarray(cells).resize((160, 160), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    crop = np.asarray(Image.open(tmp_path / "photo.png"))[:32, :32]
    seam, inside = crops.roughness(crop)
    assert seam > 2 * inside  # the measure sees the seam of a crop as it is
    crops.cut(tmp_path / "photo.png", tmp_path / "crops", count=200)
    assert seam_by_inside(tmp_path / "crops", crops.roughness) < 1.2
    run_gantool("train", "--data", "crops", *FLAGS, "--kimg", "2", cwd=tmp_path, check=True)
    run_gantool("export", "--engine", "none", cwd=tmp_path, check=True)
    run_gantool("generate", "g.onnx", "--seeds", "0-63", cwd=tmp_path, check=True)
    assert seam_by_inside(tmp_path / "images", crops.roughness) < 1.2

"""examples/medical-grey: levels of 16 bits from the files of a scanner to the generated files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from helpers.examples import script


@pytest.mark.slow
def test_phantoms_keep_their_bits(tmp_path: Path) -> None:
    phantoms = script("medical-grey/phantoms.py")
    phantoms.write(tmp_path / "phantoms", count=64)
    assert 2048 < max(phantoms.phantom(number).max() for number in range(8)) <= phantoms.WHITE
    levels = ("--levels", f"0-{phantoms.WHITE}")
    run_gantool("data", "phantoms", "--bits", "16", *levels, "-o", "phantoms.zip", cwd=tmp_path, check=True)
    flags = ("--bits", "16", "--preset", "dcgan32", "--width", "4", "--kimg", "0.5", "--no-autotune")
    run_gantool("train", "--data", "phantoms.zip", *flags, cwd=tmp_path, check=True)
    run_gantool("export", "--engine", "none", cwd=tmp_path, check=True)
    run_gantool("generate", "g.onnx", "--seeds", "0-3", cwd=tmp_path, check=True)
    with Image.open(tmp_path / "images/seed0003.png") as image:
        assert image.mode == "I;16"
        found = np.unique(np.asarray(image))
    assert len(found) > 256
    assert found.max() > phantoms.WHITE

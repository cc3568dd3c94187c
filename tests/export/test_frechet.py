"""--data: the distance to a data set of FP32 and of the exported graph, here by a stand-in for the distance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import run_gantool
from gantool.export.options import DatasetDistance, ExportOptions, Precision
from gantool.export.pipeline import export
from gantool.runtime import Generator, UsageError
from gantool.runtime.artifacts.onnx import PARITY_KEY, read_json
from gantool.runtime.artifacts.recipe import Low
from gantool.runtime.spec import Images
from helpers.logs import logged


def far(images: Images) -> float:
    """Return a distance that anyone can compute again."""
    assert images.shape == (2000, 32, 32, 1)
    return float(np.square(images.astype(np.float64) - 100).mean())


TO_DATA = DatasetDistance("boxes", "squares", far)


@pytest.mark.parametrize("low", ["fp16", "bf16"])  # ONNX Runtime itself does not run BF16
def test_both_distances_are_recorded(low: Low, checkpoint: Path, tmp_path: Path) -> None:
    options = ExportOptions(
        tmp_path / "g", "rtx" if low == "fp16" else "none", precision=Precision(low), to_data=TO_DATA
    )
    with logged() as said:
        export(checkpoint, options)
    parity = read_json(tmp_path / f"g.{low}.onnx", PARITY_KEY)
    found = parity["frechet"]
    with Generator.load(tmp_path / "g.onnx") as full:
        assert found["fp32"] == pytest.approx(far(full.images(range(2000))), abs=1e-3)
    assert (found["data"], found["features"], found["images"]) == ("boxes", "squares", 2000)
    assert found["own"] == pytest.approx(found["fp32"], rel=0.02)
    assert found["own"] != found["fp32"]  # it is the graph in the low type that was run
    assert found["difference"] == pytest.approx(found["own"] - found["fp32"], abs=1e-3)
    assert (parity["seeds"], parity["batch_difference"]) == (64, 0)
    assert any("Fréchet distance to boxes by squares, 2,000 images: FP32 " in line for line in said)
    assert "frechet" not in read_json(tmp_path / "g.onnx", PARITY_KEY)
    if low == "fp16":
        assert json.loads((tmp_path / "g.rtx.plan.json").read_text())["parity"] == parity


def test_of_an_fp32_graph_there_is_one(checkpoint: Path, tmp_path: Path) -> None:
    export(checkpoint, ExportOptions(tmp_path / "g", "none", to_data=TO_DATA))
    assert "own" not in read_json(tmp_path / "g.onnx", PARITY_KEY)["frechet"]


def test_nothing_is_left_to_measure(exported: Path, tmp_path: Path) -> None:
    options = ExportOptions(tmp_path / "h", "rtx", to_data=TO_DATA)
    with pytest.raises(UsageError, match="add `fp16`"):
        export(exported / "g.onnx", options)


def test_the_distance_of_gantool_evaluate(checkpoint: Path, tmp_path: Path) -> None:
    flags = ("--fp16", "--engine", "none", "--data", "fashion-mnist")
    result = run_gantool("export", checkpoint, *flags, cwd=tmp_path, check=True)
    assert "Fréchet distance to fashion-mnist by classifier, 2,000 images: FP32 " in result.stderr
    found = read_json(tmp_path / "g.fp16.onnx", PARITY_KEY)["frechet"]
    assert abs(found["difference"]) < 0.05 * found["fp32"]
    result = run_gantool("export", checkpoint, "--features", "classifier", cwd=tmp_path)
    assert (result.returncode, "--features needs --data" in result.stderr) == (2, True)

"""Files that earlier commits wrote keep loading, and make the images that they made; a folder is a commit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from field.cases import gantool

HERE = Path(__file__).parent
COMMITS = sorted(path.name for path in HERE.iterdir() if (path / "g.onnx").exists())


@pytest.fixture(params=COMMITS)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of what a commit wrote: a run, graphs, a plan with its sidecar, a bundle."""
    return shutil.copytree(HERE / request.param, tmp_path / "earlier")


def made(engine: str, folder: Path) -> np.ndarray:
    """Return the images of seeds 0 to 15, by `gantool generate`."""
    answer = gantool(f"generate --engine {engine} --seeds 0-15 --format npy --out {engine}-images", folder)
    assert answer.code == 0, answer.err
    images: np.ndarray = np.load(folder / f"{engine}-images/images.npy")
    return images


def put_data_in_place(earlier: Path) -> None:
    """Unpack what the run was trained on, where it looks for it."""
    shutil.unpack_archive(earlier / "cls.zip", earlier)
    options = json.loads((earlier / "run/training_options.json").read_text())
    options["data"] = str(earlier / "cls")
    (earlier / "run/training_options.json").write_text(json.dumps(options))


def test_graphs_make_the_images_that_they_made(earlier: Path) -> None:
    expected = np.load(earlier / "images.npy").astype(int)
    assert np.abs(made("g.onnx", earlier) - expected).max() <= 1
    assert np.abs(made("g.fp16.onnx", earlier) - expected).max() <= 2


def test_a_checkpoint_makes_the_images_that_it_made(earlier: Path) -> None:
    answer = gantool("export run/generator.safetensors --fp16 --engine none -o again", earlier)
    assert answer.code == 0, answer.err
    expected = np.load(earlier / "images.npy").astype(int)
    assert np.abs(made("again.onnx", earlier) - expected).max() <= 1


def test_a_bundle_is_proved_by_its_golden_images(earlier: Path) -> None:
    answer = gantool("export g.tar --engine none -o again", earlier)
    assert answer.code == 0, answer.err
    assert "golden" in answer.err


def test_a_run_goes_on(earlier: Path) -> None:
    put_data_in_place(earlier)
    answer = gantool("train --resume run --kimg 2.5", earlier)
    assert answer.code == 0, answer.err


def test_a_run_whose_data_lost_its_classes_says_so(earlier: Path) -> None:
    put_data_in_place(earlier)
    for path in (earlier / "cls").rglob("*.png"):
        path.rename(earlier / "cls" / f"{path.parent.name} {path.name}")
    answer = gantool("train --resume run --kimg 2.5", earlier)
    assert answer.code == 1
    assert "now has 0 classes, run was trained on 2: restore them, or start a new run" in answer.err


def test_a_run_whose_classes_changed_their_names_says_so(earlier: Path) -> None:
    put_data_in_place(earlier)
    assert gantool("train --resume run --kimg 2.1", earlier).code == 0  # from now on it knows them
    (earlier / "cls/boot").rename(earlier / "cls/zebra")
    answer = gantool("train --resume run --kimg 2.2", earlier)
    assert answer.code == 1
    assert "now has other labels than run was trained on" in answer.err


@pytest.mark.parametrize(
    "file", ["g.onnx", "g.fp16.onnx", "g.rtx.plan", "g.tar", "run/generator.safetensors"]
)
def test_each_file_can_be_looked_into(earlier: Path, file: str) -> None:
    answer = gantool(f"inspect {file}", earlier)
    assert answer.code == 0, answer.err
    assert "dcgan" in answer.out


def test_its_options_come_back_from_its_file(earlier: Path) -> None:
    """It had no penalty, which its preset has today."""
    file = earlier / "run/training_options.json"
    assert json.loads(file.read_text())["r1"] is None
    options = json.loads(gantool("train --config run/training_options.json -n", earlier).out)
    assert (options["r1"], options["lazy"]) == (0.0, 1)

"""examples/augment-a-class: a generator of other images makes those of a small class, and they are scored."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from conftest import run_gantool
from helpers.examples import script


@pytest.fixture
def augment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script, which finds small sets of ten kinds of stripes in place of Fashion-MNIST."""
    module = script("augment-a-class/augment.py")
    rng = np.random.default_rng(0)
    for part, count in (("train", 300), ("t10k", 200)):
        labels = np.arange(count) % 10
        images = rng.integers(0, 120, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 8] += 30  # faint: one image of a class is not enough
        for name, size, values in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
            data = bytes(size) + values.astype(np.uint8).tobytes()
            (tmp_path / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(module, "SYSTEM_FOLDER", tmp_path)
    monkeypatch.setattr(module, "SEEDS", 1)
    monkeypatch.setattr(module, "STEPS", 40)
    return module


@pytest.mark.slow
def test_a_class_is_generated_and_scored(
    augment: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    augment.pick(tmp_path / "few", "dress", start=0, count=12)
    augment.pick(tmp_path / "theirs", None, start=12, count=500)
    assert {path.name: len([*path.iterdir()]) for path in (tmp_path / "few").iterdir()} == {
        name: 10 if name == "dress" else 12 for name in augment.CLASSES
    }
    names = [{path.name for path in (tmp_path / side).glob("*/*.png")} for side in ("few", "theirs")]
    assert len(names[1]) == 10 * 18
    assert not names[0] & names[1]  # nobody sees the images of the others
    flags = ("--conditional", "--preset", "dcgan28", "--width", "4", "--kimg", "0.3", "--no-autotune")
    run_gantool("train", "--data", "theirs", *flags, cwd=tmp_path, check=True)
    run_gantool("export", "--engine", "none", cwd=tmp_path, check=True)
    chosen = ("--class", "dress", "--seeds", "0-49")
    run_gantool("generate", "g.onnx", *chosen, "--out", "generated", cwd=tmp_path, check=True)
    augment.score(tmp_path / "few", tmp_path / "generated", "dress")
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()[-2:]] == ["all", "dress"]


@pytest.mark.slow
def test_true_images_of_the_class_help(
    augment: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a perfect generator gains shows in the score: without it, the classifier has one image of a dress."""
    augment.pick(tmp_path / "few", "dress", start=0, count=500)
    (tmp_path / "more").mkdir()
    for path in sorted((tmp_path / "few/dress").iterdir())[1:]:
        path.rename(tmp_path / "more" / path.name)
    scores = []
    for generated in (None, tmp_path / "more"):
        capsys.readouterr()
        augment.score(tmp_path / "few", generated, "dress")
        scores.append(float(capsys.readouterr().out.split("dress: ")[1].split("%")[0]))
    assert scores[1] > scores[0]

"""gantool data, through the command line: what is in the zip, what was left out, and that it can be trained on."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from gantool.models.config import square
from gantool.train.data.dataset import load_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 images of noise in two folders, one of them twice, a damaged file, and a text."""
    rng = np.random.default_rng(0)
    path = tmp_path / "images"
    for number in range(20):
        kind = path / ("cats" if number % 2 else "dogs")
        kind.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (40 + number, 36), np.uint8)
        Image.fromarray(pixels).save(kind / f"{number:02d}.png")
    (path / "cats/twice.png").write_bytes((path / "cats/01.png").read_bytes())
    (path / "dogs/bad.png").write_bytes(b"no image")
    (path / "notes.txt").write_text("no image either")
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_long_list_of_what_is_left_out_is_counted(folder: Path, tmp_path: Path) -> None:
    for number in range(12):
        (folder / f"cats/again{number}.png").write_bytes((folder / "cats/01.png").read_bytes())
        (folder / f"dogs/bad{number}.png").write_bytes(b"no image")
    result = run_gantool("data", folder, "-o", "d.zip", cwd=tmp_path, check=True)
    assert result.stderr.count(": a duplicate") == result.stderr.count("it is not a PNG") == 10
    assert "left out 3 more duplicates" in result.stderr
    assert "left out 3 more\n" in result.stderr


def test_a_folder_becomes_a_data_set(folder: Path, tmp_path: Path) -> None:
    result = run_gantool("data", folder, "-o", "d.zip", cwd=tmp_path, check=True)
    assert "20 images of 32×32×1, of 22 files; left out 1 as duplicates and 1 as unreadable" in result.stdout
    assert "originals 36×40 to 36×59" in result.stdout
    assert "  0  cats  10\n  1  dogs  10" in result.stdout
    assert "left out dogs/bad.png: it is not a PNG" in result.stderr
    assert "left out cats/twice.png: a duplicate" in result.stderr
    found = members(tmp_path / "d.zip")
    text = json.loads(found.pop("dataset.json"))
    assert list(found) == [f"00000/img{number:08d}.png" for number in range(20)]
    assert dict(text["labels"]) == {name: int(index >= 10) for index, name in enumerate(found)}
    assert text["class_names"] == ["cats", "dogs"]
    with Image.open(tmp_path / "d.png") as sheet:
        assert sheet.size == (16 * 32, 2 * 32)
    loaded = load_images(str(tmp_path / "d.zip"), square(32))
    assert loaded.images.shape == (20, 32, 32, 1)
    assert loaded.skipped == ()


def test_doing_it_again_changes_nothing(folder: Path, tmp_path: Path) -> None:
    run_gantool("data", folder, "-o", "d.zip", cwd=tmp_path, check=True)
    run_gantool("data", "d.zip", "-o", "again.zip", cwd=tmp_path, check=True)
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "d.zip").read_bytes()
    run_gantool("data", "d.zip", "-o", "bare.zip", "--no-labels", cwd=tmp_path, check=True)
    assert json.loads(members(tmp_path / "bare.zip")["dataset.json"]) == {"labels": None}


def test_one_image_of_colour_makes_all_of_them_so(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(folder / "dogs/99.png")
    result = run_gantool("data", folder, "-o", "d.zip", "--size", "16", cwd=tmp_path, check=True)
    assert "21 images of 16×16×3" in result.stdout
    images = [data for name, data in members(tmp_path / "d.zip").items() if name.endswith(".png")]
    with Image.open(BytesIO(images[0])) as image:
        assert image.mode == "RGB"
    result = run_gantool("data", folder, "-o", "d.zip", "--channels", "1", cwd=tmp_path, check=True)
    assert "21 images of 32×32×1" in result.stdout


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('{"labels": [["cats/01.png", 0]]}', "has no label for cats/03.png"),
        ('{"labels": [["cats/01.png", -1]]}', "whole number"),
        ('{"labels": 3}', "is damaged"),
        ("[]", "is damaged"),
        ("{", "is damaged"),
    ],
)
def test_damaged_labels(folder: Path, tmp_path: Path, labels: str, message: str) -> None:
    (folder / "dataset.json").write_text(labels)
    result = run_gantool("data", folder, "-o", "d.zip", cwd=tmp_path)
    assert (result.returncode, message in result.stderr) == (1, True), result.stderr
    assert not list(tmp_path.glob("*d.*"))
    run_gantool("data", folder, "-o", "d.zip", "--no-labels", cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("-o", "d.tar"), 2, "ends in .zip"),
        (("--size", "33"), 2, "the nearest sizes are 28, 32, 36, 40"),
        (("--channels", "5"), 2, "choose 1, 3 or 4"),
    ],
)
def test_flags_that_cannot_be(
    folder: Path, tmp_path: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    result = run_gantool("data", folder, *flags, cwd=tmp_path)
    assert (result.returncode, message in result.stderr) == (code, True)


def test_too_few_images(folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("cats/*.png"):
        path.unlink()
    result = run_gantool("data", folder, cwd=tmp_path)
    assert result.returncode == 1
    assert "holds 10 different readable images in 11 files, at least 16 are needed" in result.stderr
    assert not (tmp_path / "data.zip").exists()

"""Grey images of 16 bits: scaled by the levels of the set, kept as uint16, trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from conftest import run_gantool
from gantool.models import (
    Generator,
    NetworkConfig,
    Size,
    config_from_json,
    load_checkpoint,
    save_checkpoint,
    square,
)
from gantool.runtime.errors import UsageError
from gantool.train.data.dataset import load_images
from gantool.train.data.decode import Into, fit
from gantool.train.data.levels import bounds, levels_text, not_levels
from gantool.train.data.prepare import next_command, prepare, summary
from gantool.train.options import TrainingOptions
from gantool.train.requests import DataOptions
from helpers.logs import logged

LOW, HIGH = 1000, 9000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 20 PNG files of 16 bits, 16×12, whose levels lie between LOW and HIGH."""
    rng = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for index in range(20):
        levels = rng.integers(LOW, HIGH + 1, (16, 12), np.uint16)
        levels[0, :2] = LOW, HIGH
        Image.fromarray(levels).save(tmp_path / "set" / f"{index:02}.png")
    return tmp_path / "set"


def originals(folder: Path) -> NDArray[np.float64]:
    """Return the levels of all files, [20, 16, 12]."""
    return np.stack([np.asarray(Image.open(path), np.float64) for path in sorted(folder.glob("*.png"))])


@pytest.mark.parametrize(
    ("levels", "bits", "low", "high"),
    [
        (None, 8, 0, 16383),  # the set uses 14 bits
        ("auto", 8, LOW, HIGH),
        ("2000-7000", 8, 2000, 7000),
        (None, 16, 0, 65535),
        ("auto", 16, LOW, HIGH),
        ("2000-7000", 16, 2000, 7000),
    ],
)
def test_levels_are_scaled(folder: Path, levels: str | None, bits: int, low: int, high: int) -> None:
    """Decoded and from the cache; a level below black is black, one above white is white."""
    top = 2**bits - 1
    expected = np.clip((originals(folder) - low) / (high - low), 0, 1) * top
    for _ in range(2):
        with logged() as lines:
            loaded = load_images(str(folder), Size(16, 12), 1, levels=levels, bits=bits)
        assert loaded.images.dtype == (np.uint8 if bits == 8 else np.uint16)
        assert loaded.images.shape == (20, 16, 12, 1)
        assert np.abs(loaded.images[..., 0] - expected).max() <= 0.51
        if levels or bits == 16:
            assert any(
                f"from 1,000 to 9,000: {low:,} was taken for black, {high:,} for white, in {bits} bits"
                in line
                for line in lines
            )
    assert loaded.in_eight_bits.images.dtype == np.uint8


def test_resizing_keeps_sixteen_bits() -> None:
    """Levels between two of 8 bits survive, in a crop, a frame and a smaller size."""
    image = Image.fromarray(np.full((40, 20), 30_000, np.uint16))
    cropped = fit(image, Into(square(8), 1, kept_bits=16)).pixels
    assert cropped.dtype == np.uint16
    assert np.abs(cropped.astype(int) - 30_000).max() <= 1
    framed = fit(image, Into(square(8), 1, "black", fit="pad", kept_bits=16)).pixels
    assert framed[0, 0, 0] == 0
    assert abs(int(framed[4, 4, 0]) - 30_000) <= 1
    shallow = fit(Image.new("L", (8, 8), 100), Into(square(8), 1, kept_bits=16)).pixels
    assert (shallow == 25_700).all()


def test_a_transparent_level_of_sixteen_bits(tmp_path: Path) -> None:
    """It becomes the background, and does not count as a level of the set."""
    levels = np.full((8, 8), 30_000, np.uint16)
    levels[0] = 65_535
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=65_535)
    with Image.open(tmp_path / "a.png") as image:
        fitted = fit(image, Into(square(8), 1, "black", kept_bits=16))
    assert fitted.transparent
    assert fitted.span == (30_000, 30_000)
    assert fitted.pixels[:, 0, 0].tolist() == [0, *[30_000] * 7]


def test_an_array_of_sixteen_bits(tmp_path: Path) -> None:
    """Taken as it is."""
    array = np.random.default_rng(0).integers(0, 65536, (20, 8, 8), np.uint16)
    np.save(tmp_path / "images.npy", array)
    images = load_images(str(tmp_path / "images.npy"), square(8), 1, bits=16).images
    assert np.array_equal(images[..., 0], array)
    np.savez(tmp_path / "images.npz", images=array)
    assert np.array_equal(load_images(str(tmp_path / "images.npz"), square(8), 1, bits=16).images, images)


def test_a_data_set_of_sixteen_bits(folder: Path, tmp_path: Path) -> None:
    """The zip has the levels that training would make, and the next command keeps them."""
    how: dict[str, Any] = {"levels": "auto", "fit": "stretch", "bits": 16}
    made = prepare(DataOptions(str(folder), tmp_path / "d.zip", square(16), **how))
    zipped = load_images(str(made.path), square(16), 1, bits=16).images
    assert np.array_equal(zipped, load_images(str(folder), square(16), 1, **how).images)
    assert f"{LOW:,} was taken for black, {HIGH:,} for white, in 16 bits" in summary(made)
    assert 0 < made.mean < 255
    assert "--bits 16" in next_command(made)
    with Image.open(made.sheet) as sheet:
        assert sheet.mode == "L"
    with pytest.raises(UsageError, match="grey"):
        DataOptions(str(folder), channels=3, bits=16)


def test_images_without_sixteen_bits_are_told(tmp_path: Path) -> None:
    for index in range(20):
        Image.new("RGB", (8, 8), (index, 200, 9)).save(tmp_path / f"{index}.png")
    with logged() as lines:
        load_images(str(tmp_path), square(8), 1, bits=16)
    assert "warning: no grey image has 16 bits: images were made grey, and stretched from 8 bits" in lines


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_levels_are_written_as_they_are_read(one: int, other: int) -> None:
    low, high = sorted((one, other))
    text = levels_text(low, high)
    assert not_levels(text) == ""
    assert bounds(text)[0] < bounds(text)[1]
    if low < high:
        assert bounds(text) == (low, high)


@pytest.mark.parametrize("text", ["", "5", "5-", "-5", "7-7", "9-3", "0-65536", "a-b", "automatic"])
def test_what_is_not_levels_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give auto, or the levels of black and white, as in 0-65535"):
        TrainingOptions(NetworkConfig(), "set", levels=text)


def test_sixteen_bits_are_grey(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`bits` 16 needs `channels` 1, not 3"):
        NetworkConfig(channels=3, bits=16)
    assert "bits" not in NetworkConfig().to_json()
    config = NetworkConfig(size=square(16), width=2, bits=16)
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "c", Generator(config), 0, "shapes")
    metadata: Any = load_checkpoint(tmp_path / "c").metadata
    assert metadata.to_json()["bits"] == 16


def test_a_run_on_sixteen_bits(folder: Path, tmp_path: Path) -> None:
    """Trained and resumed by the command line, without a further word about the bits."""
    flags = ("--preset", "dcgan16", "--size", "16", "--width", "2", "--batch", "4", "--no-autotune")
    data = ("--data", folder, "--bits", "16", "--levels", "auto", "--fit", "stretch")
    run_gantool("train", *data, *flags, "--kimg", "0.02", cwd=tmp_path, check=True)
    result = run_gantool("train", "--resume", "latest", "--kimg", "0.04", cwd=tmp_path, check=True)
    assert "1,000 was taken for black, 9,000 for white, in 16 bits" in result.stderr
    (run,) = (tmp_path / "runs").iterdir()
    options = json.loads((run / "training_options.json").read_text())
    assert (options["levels"], options["network"]["bits"], options["network"]["channels"]) == ("auto", 16, 1)

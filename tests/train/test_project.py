"""`gantool project`: the nearest latent vector of a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from conftest import run_gantool
from gantool.models import NetworkConfig, load_checkpoint, save_checkpoint
from gantool.models.config import Size, square
from gantool.models.sampling import float_images, sample_images
from gantool.runtime.outputs.images import to_uint8
from gantool.train.options import TrainingOptions
from helpers.networks import lived_in


def generator_file(folder: Path, config: NetworkConfig) -> Path:
    path = folder / "generator.safetensors"
    save_checkpoint(path, lived_in(config), 1000, "shapes", ("disc", "box", "ring")[: config.classes])
    return path


def own_pictures(folder: Path, path: Path, count: int) -> list[Path]:
    """Save images of seeds that are no candidates for a start."""
    images = sample_images(load_checkpoint(path).generator, range(100_000, 100_000 + count))
    names = [folder / f"{index}.png" for index in range(count)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image.squeeze()).save(name)
    return names


def projected(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    """Run `gantool project` and return what it found of each picture."""
    words = [*map(str, arguments), "--checkpoint", "generator.safetensors", "--json"]
    pictures: list[dict[str, Any]] = json.loads(
        run_gantool("project", *words, cwd=folder, check=True).stdout
    )["pictures"]
    return pictures


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (NetworkConfig(size=square(16), width=8, latent=32), 3),
        pytest.param(NetworkConfig(size=square(32), width=8), 10, marks=pytest.mark.slow),
    ],
    ids=["16 pixels", "32 pixels"],
)
def test_the_generators_own_images_come_back(tmp_path: Path, config: NetworkConfig, count: int) -> None:
    path = generator_file(tmp_path, config)
    names = own_pictures(tmp_path, path, count)
    errors = [each["error"] for each in projected(tmp_path, *names)]
    images = [np.asarray(Image.open(name)).astype(int) for name in names]
    apart = min(np.abs(a - b).mean() for a in images for b in images if a is not b)
    assert apart > 5  # the images differ, so the errors say something
    assert sum(error <= 2 for error in errors) >= 0.8 * count
    z = np.load(tmp_path / "projected/z.npy")
    assert (z.shape, z.dtype) == ((count, config.latent), np.float32)
    generator = load_checkpoint(path).generator
    again = to_uint8(float_images(generator, (torch.from_numpy(z),)))
    with Image.open(tmp_path / "projected/pairs.png") as sheet:
        pairs = np.asarray(sheet).reshape(count, config.size.height, 2, config.size.width)  # [N, H, 2, W]
    assert np.array_equal(pairs[:, :, 0], np.stack(images))
    assert np.abs(pairs[:, :, 1].astype(int) - again[..., 0]).max() <= 1


def test_a_conditional_generator_finds_the_class_or_takes_it(tmp_path: Path) -> None:
    path = generator_file(tmp_path, NetworkConfig(size=square(16), width=8, latent=32, classes=3))
    names = own_pictures(tmp_path, path, 1)  # seed 100,000 is of class 1
    (found,) = projected(tmp_path, *names, "--steps", 60)
    assert found["label"] == 100_000 % 3
    (given,) = projected(tmp_path, *names, "--steps", 60, "--class", "ring")
    assert given["label"] == 2
    assert given["error"] > found["error"]


def test_pictures_are_read_as_those_of_the_run(tmp_path: Path) -> None:
    """Transparent ones stay so, on the background that is given or was given; --fit is that of the run."""
    config = NetworkConfig(size=Size(16, 24), channels=4, width=8, latent=32)
    generator_file(tmp_path, config)
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[4:12, 4:12] = (255, 0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "square.png")

    def read(*arguments: str) -> NDArray[np.uint8]:
        """Return the picture as the sheet shows it, on white squares of a checkerboard: [H, W, 3]."""
        projected(tmp_path, "square.png", "--steps", 4, *arguments)
        with Image.open(tmp_path / "projected/pairs.png") as sheet:
            return np.asarray(sheet)[:16, :24]

    assert 204 in read()[0]
    assert read("--background", "#000000")[0, :, 1:].max() == 0
    training = TrainingOptions(config, "set", background="#000000", fit="pad")
    (tmp_path / "training_options.json").write_text(json.dumps(training.to_json()))
    padded = read()
    assert padded[8, :8].max() == 0
    assert padded[8, 8:16].tolist() == [[255, 0, 0]] * 8


def test_pictures_of_sixteen_bits_have_the_levels_of_the_run(tmp_path: Path) -> None:
    config = NetworkConfig(size=square(16), width=8, latent=32, bits=16)
    generator_file(tmp_path, config)
    (tmp_path / "set").mkdir()
    levels = np.linspace(1000, 9000, 256).reshape(16, 16).astype(np.uint16)
    for index in range(20):
        Image.fromarray(np.roll(levels, index, 0)).save(tmp_path / "set" / f"{index:02}.png")
    training = TrainingOptions(config, str(tmp_path / "set"), levels="auto")
    (tmp_path / "training_options.json").write_text(json.dumps(training.to_json()))
    projected(tmp_path, "set/00.png", "--steps", 4)
    with Image.open(tmp_path / "projected/pairs.png") as sheet:
        seen = np.asarray(sheet)[:, :16]
    assert np.abs(seen - (levels - 1000.0) / 8000 * 255).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("none.png",), "none.png: there is no such file"),
        (("text.png",), "text.png is not a picture that can be read"),
        (("0.png", "--class", "box"), "takes no label"),
        (("0.png", "--steps", "0"), "--steps 0"),
    ],
)
def test_what_cannot_be_projected(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    path = generator_file(tmp_path, NetworkConfig(size=square(16), width=8))
    own_pictures(tmp_path, path, 1)
    (tmp_path / "text.png").write_text("this is not a picture")
    result = run_gantool("project", *arguments, "--checkpoint", path, cwd=tmp_path)
    assert result.returncode == 2
    assert problem in result.stderr
    assert not (tmp_path / "projected").exists()

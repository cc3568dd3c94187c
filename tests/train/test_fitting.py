"""How images of another aspect ratio are made to fit a size: crop, pad, stretch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gantool.models import NetworkConfig, Size
from gantool.train.data.dataset import load_images
from gantool.train.data.decode import Into, fit
from gantool.train.data.fitting import Fit, contained, cropped, other_aspect
from gantool.train.options import TrainingOptions
from gantool.train.presets import advice
from helpers.logs import logged

SIDES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
SIZES = st.builds(Size, st.integers(1, 256), st.integers(1, 256))
LEFT, RIGHT = (255, 0, 0), (0, 0, 255)


def halves(width: int, height: int) -> Image.Image:
    """Return an image whose left half is red, and whose right half is blue."""
    image = Image.new("RGB", (width, height), LEFT)
    image.paste(RIGHT, (width // 2, 0, width, height))
    return image


@given(SIDES, SIZES)
def test_a_crop_lies_in_the_middle_and_has_the_aspect(sides: tuple[int, int], size: Size) -> None:
    """It takes one side whole, and of the other within half a pixel what the aspect asks for."""
    left, top, right, bottom = cropped(sides, size)
    width, height = right - left, bottom - top
    assert 0 <= left <= right <= sides[0]
    assert 0 <= top <= bottom <= sides[1]
    assert width == sides[0] or height == sides[1]
    wide, tall = height * size.width / size.height, width * size.height / size.width
    assert abs(width - wide) <= 0.5 or abs(height - tall) <= 0.5 or min(width, height) == 1
    assert abs((sides[0] - right) - left) <= 1
    assert abs((sides[1] - bottom) - top) <= 1


@given(SIDES, SIZES)
def test_what_is_padded_lies_inside_and_keeps_its_aspect(sides: tuple[int, int], size: Size) -> None:
    width, height = contained(sides, size)
    assert 1 <= width <= size.width
    assert 1 <= height <= size.height
    assert width == size.width or height == size.height
    if not other_aspect(sides, size):
        assert (height, width) == size


@pytest.mark.parametrize(
    ("how", "top_row", "middle_row"),
    [
        ("crop", [LEFT, LEFT, RIGHT, RIGHT], [LEFT, LEFT, RIGHT, RIGHT]),
        ("stretch", [LEFT, LEFT, RIGHT, RIGHT], [LEFT, LEFT, RIGHT, RIGHT]),
        ("pad", [(255, 255, 255)] * 4, [LEFT, LEFT, RIGHT, RIGHT]),
    ],
)
def test_a_wide_image_in_a_tall_size(how: Fit, top_row: list[object], middle_row: list[object]) -> None:
    """Of 40×20 pixels in 8×4, each way keeps what it says."""
    pixels = fit(halves(40, 20), Into(Size(8, 4), fit=how)).pixels
    assert pixels.shape == (8, 4, 3)
    for row, expected in ((0, top_row), (4, middle_row)):
        assert np.abs(pixels[row].astype(int) - expected).max() <= 30  # Lanczos rings at the edge


def test_padding_is_the_background() -> None:
    """A grey image on a coloured background becomes RGB, and stays grey where one channel is asked for."""
    grey = Image.new("L", (20, 10), 100)
    pixels = fit(grey, Into(Size(16, 16), background="#ff0000", fit="pad")).pixels
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[8, 8].tolist() == [100, 100, 100]
    assert fit(grey, Into(Size(16, 16), 1, "#ff0000", fit="pad")).pixels[0, 0].tolist() == [76]


def test_one_line_says_what_was_done(tmp_path: Path) -> None:
    for index in range(20):
        Image.effect_noise((24, 16 if index < 18 else 24), 64).save(tmp_path / f"{index}.png")
    said = {}
    for how in ("crop", "pad", "stretch"):
        with logged() as lines:
            images = load_images(str(tmp_path), Size(24, 16), fit=how).images
        assert images.shape == (20, 24, 16, 1)
        said[how] = next(line for line in lines if "another aspect ratio" in line)
    assert said == {
        "crop": "20 of 20 images have another aspect ratio: cropped to the middle",
        "pad": "20 of 20 images have another aspect ratio: padded with white",
        "stretch": "20 of 20 images have another aspect ratio: stretched",
    }


@pytest.mark.parametrize(
    ("sides", "size", "advised"),
    [
        ((300, 450), Size(64, 64), "96x64"),  # most images are cards
        ((300, 450), Size(96, 64), ""),
        ((300, 440), Size(96, 64), ""),  # nearly the same
        ((64, 64), Size(48, 32), "32"),
        ((2000, 20), Size(64, 64), ""),  # no network makes it
    ],
)
def test_a_size_that_crops_nothing_is_advised(
    tmp_path: Path, sides: tuple[int, int], size: Size, advised: str
) -> None:
    for index in range(20):
        Image.new("L", sides if index < 15 else (80, 80), index * 12).save(tmp_path / f"{index}.png")
    facts = load_images(str(tmp_path), size).facts
    assert facts
    options = TrainingOptions(NetworkConfig(size=size), str(tmp_path))
    said = " ".join(line for line in advice("dcgan32", options, facts) if "cropped" in line)
    assert said.partition("(to keep all of them: `size` ")[2].rstrip(")") == advised
    padded = replace(options, fit="pad")
    assert not any("cropped" in line for line in advice("dcgan32", padded, facts))


def test_advice_does_not_enlarge_images(tmp_path: Path) -> None:
    for index in range(20):
        Image.new("L", (64, 64), index * 12).save(tmp_path / f"{index}.png")
    facts = load_images(str(tmp_path), Size(48, 32)).facts
    assert facts
    options = [TrainingOptions(NetworkConfig(size=size), "set") for size in (Size(48, 32), Size(24, 16))]
    said = [[line for line in advice("dcgan32", each, facts) if "keep more" in line] for each in options]
    assert said[0] == []
    assert "`size` 48x32" in said[1][0]


def test_an_array_of_the_size_is_taken_as_it_is(tmp_path: Path) -> None:
    """Pixels of images that are not square pass unchanged, and nothing is said of their aspect."""
    array = np.random.default_rng(0).integers(0, 256, (20, 24, 16, 3), np.uint8)
    np.save(tmp_path / "images.npy", array)
    with logged() as lines:
        images = load_images(str(tmp_path / "images.npy"), Size(24, 16)).images
    assert np.array_equal(images, array)
    assert not [line for line in lines if "aspect" in line]

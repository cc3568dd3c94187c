"""The spectrum sees a checkerboard, and not blur."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gantool.train.metrics.spectrum import checkerboard


def discs(count: int, side: int = 32, blur: float = 0.7) -> Any:
    """Return images with a bright disc each, uint8 [N, side, side, 1]; blurred, as photographs are."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    images = []
    for _ in range(count):
        top, left, radius = rng.uniform(side / 4, 3 * side / 4, 3)
        disc = ((y - top) ** 2 + (x - left) ** 2 < (radius / 2) ** 2) * np.uint8(
            rng.integers(100, 220)
        ) + np.uint8(20)
        images.append(np.asarray(Image.fromarray(disc).filter(ImageFilter.GaussianBlur(blur))))
    return np.stack(images)[..., None]


def with_board(images: Any, kind: str, amount: int) -> Any:
    y, x = np.mgrid[: images.shape[1], : images.shape[2]]
    sign = {"columns": x, "rows": y, "squares": x + y}[kind] % 2 * 2 - 1
    return np.clip(images + amount * sign[None, ..., None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["columns", "rows", "squares"])
def test_a_checkerboard_of_any_kind_is_seen(kind: str) -> None:
    real = discs(200)
    assert checkerboard(with_board(real, kind, 4), real) > 3
    assert checkerboard(with_board(real, kind, 8), real) > checkerboard(with_board(real, kind, 4), real)


@pytest.mark.parametrize("blur", [0.5, 0.6, 0.8, 0.9])
def test_blurred_and_sharpened_images_have_none(blur: float) -> None:
    assert checkerboard(discs(200, blur=blur), discs(200)) == pytest.approx(1, abs=0.5)


def test_halves_of_the_data_are_alike() -> None:
    images = discs(400)
    assert checkerboard(images[::2], images[1::2]) == pytest.approx(1, abs=0.1)


def test_images_of_one_colour_say_nothing() -> None:
    assert math.isnan(checkerboard(np.full((8, 32, 32, 1), 77, np.uint8), discs(8)))
    assert math.isnan(checkerboard(discs(8, 8), discs(8, 8)))

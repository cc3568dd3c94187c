"""Arrays of images: RGBA over a checkerboard."""

import numpy as np
import pytest

from gantool.runtime.outputs.images import over_checkerboard


def test_a_checkerboard_shows_where_an_image_is_transparent() -> None:
    """Opaque pixels keep their colour, transparent ones show squares of white and grey, half ones a blend."""
    images = np.zeros((2, 64, 64, 4), np.uint8)
    images[0, ..., :3] = 10, 20, 30
    images[0, :, 32:, 3] = 255
    images[1, ..., 3] = 128

    laid = over_checkerboard(images)

    assert laid.shape == (2, 64, 64, 3)
    assert laid.dtype == np.uint8
    assert (laid[0, :, 32:] == (10, 20, 30)).all()
    assert (laid[0, :8, :8] == 255).all()
    assert (laid[0, :8, 8:16] == 204).all()
    assert (laid[0, 8:16, :8] == 204).all()
    assert (laid[1, :8, :8] == 127).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 9), (16, 28), (96, 64)])
def test_small_images_have_small_squares(height: int, width: int) -> None:
    """Of an image of any size from 8 pixels, both greys are seen."""
    laid = over_checkerboard(np.zeros((1, height, width, 4), np.uint8))
    assert laid.shape == (1, height, width, 3)
    assert set(np.unique(laid)) == ({204, 255} if height * width > 1 else {255})

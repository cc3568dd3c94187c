"""Straight and premultiplied RGBA."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from gantool.models.alpha import VISIBLE, premultiplied, straight

level = st.floats(0, 1, width=32)


@given(st.tuples(level, level, level, level))
def test_straight_undoes_premultiplied_where_a_pixel_is_visible(rgba: tuple[float, ...]) -> None:
    pixel = torch.tensor(rgba).reshape(1, 4, 1, 1) * 2 - 1
    again = straight(premultiplied(pixel))
    assert torch.allclose(again[:, 3:], pixel[:, 3:])
    if rgba[3] > VISIBLE * 1.01:
        assert torch.allclose(again, pixel, atol=1e-4)
    elif rgba[3] < VISIBLE * 0.99:
        assert (again[:, :3] == -1).all()


@given(st.tuples(level, level, level, level))
def test_straight_images_stay_in_range_for_any_output_of_a_network(rgba: tuple[float, ...]) -> None:
    images = straight(torch.tensor(rgba).reshape(1, 4, 1, 1) * 2 - 1)  # a colour may exceed its alpha
    assert images.min() >= -1
    assert images.max() <= 1


def test_images_without_alpha_are_unchanged() -> None:
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(premultiplied(images), images)
    assert torch.equal(straight(images), images)

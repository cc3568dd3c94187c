"""Augmentation of the discriminator's input, real and generated images, for small data sets.

diff   DiffAugment: colour, translation and cutout on every image (Zhao et al. 2020, arXiv:2006.10738).
ada    The same, plus flips and quarter turns, each with a probability that adapts to the overfitting of the
       discriminator (Karras et al. 2020, arXiv:2006.06676, section 3): it rises while the mean sign of the logits
       of real images is over 0.6, and falls otherwise. It begins after 20 passes over the data: a discriminator
       that knows the real images before is good, and has not memorized them.

Every change is differentiable, so gradients reach the generator. Images are float32 [N, C, H, W] in [-1, 1].
RGBA is premultiplied: changes of colour leave alpha as it is, and the colour of a transparent pixel black.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]  # images -> images of the same shape

PASSES = 20  # over the data, before ada begins; on 3,786 emoji, the distance was a quarter smaller after 21 of them
TARGET = 0.6  # mean sign of the logits of real images
ADJUST_KIMG = 500.0  # the probability takes at least this long to go from 0 to 1, as in the paper
SHIFT = 1 / 8  # largest translation, as a fraction of the side
HOLE = 1 / 2  # side of the cutout, as a fraction of the side


def augment(images: Tensor, kind: str, probability: float, *, tile: bool = False) -> Tensor:
    """Return augmented images of the same shape. Only ada uses `probability`. With `tile`, translation wraps."""
    if kind == "none" or (kind == "ada" and probability == 0):
        return images
    diff = (*_COLOURS, _roll if tile else _translation, _cutout)
    changes = diff if kind == "diff" else (_flip, _turn, *diff)
    for change in changes:
        images = change(images) if kind == "diff" else _on_some(images, change, probability)
    return images


def _on_some(images: Tensor, change: Change, probability: float) -> Tensor:
    """Change each image with a probability, which is often so small that computing the change for all is waste."""
    # chosen on the CPU: what a GPU chooses, it would have to wait for
    chosen = (torch.rand(len(images)) < probability).nonzero()[:, 0].to(images.device)
    if not len(chosen):
        return images
    return images.index_copy(0, chosen, change(images.index_select(0, chosen)))


def adapt(probability: float, mean_sign: float, images: int) -> float:
    """Return the new probability of ada after `images` real images whose logits had this mean sign."""
    step = images / (ADJUST_KIMG * 1000)
    return min(max(probability + (step if mean_sign > TARGET else -step), 0.0), 1.0)


def _random(images: Tensor) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device)  # [N, 1, 1, 1] in 0..1


def _of_colours(change: Change) -> Change:
    """Return a change of colour that leaves alpha as it is.

    It works on premultiplied colours, where 0 is black: a pixel gets the part of the change that its alpha shows.
    """

    def changed(images: Tensor) -> Tensor:
        if images.shape[1] != 4:
            return change(images)
        colours, alpha = images[:, :3], images[:, 3:]
        return torch.cat([colours + (change(colours) - colours) * (alpha + 1) / 2, alpha], 1)

    return changed


def _brightness(images: Tensor) -> Tensor:
    return images + (_random(images) - 0.5)


def _saturation(images: Tensor) -> Tensor:
    grey = images.mean(1, keepdim=True)
    return grey + (images - grey) * (_random(images) * 2)


def _contrast(images: Tensor) -> Tensor:
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * (_random(images) + 0.5)


def _translation(images: Tensor) -> Tensor:
    """Move each image by up to an eighth of its height and width; fill the border with -1, black or transparent."""
    height, width = images.shape[2:]
    y, x = _places(images)
    inside = ((y >= 0) & (y < height) & (x >= 0) & (x < width))[:, None]  # [N, 1, H, W]
    moved = _taken(images, y.clamp(0, height - 1), x.clamp(0, width - 1))
    return torch.where(inside, moved, images.new_tensor(-1.0))


def _roll(images: Tensor) -> Tensor:
    """Move each image as `_translation` does; what leaves it at one edge comes back at the opposite one."""
    y, x = _places(images)
    return _taken(images, y % images.shape[2], x % images.shape[3])


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each pixel of the moved images comes from: rows, [N, H, 1], and columns, [N, 1, W]."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[None, :, None]  # [1, H, 1]
    columns = torch.arange(width, device=images.device)[None, None, :]  # [1, 1, W]
    down, right = (_shifts(images, side) for side in (height, width))
    return rows + down, columns + right


def _shifts(images: Tensor, side: int) -> Tensor:
    """Return the pixels to move each image by along a side, [N, 1, 1]."""
    most = int(side * SHIFT + 0.5)
    return torch.randint(-most, most + 1, (len(images), 1, 1), device=images.device)


def _taken(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return the pixels of images in rows `y`, [N, H, 1], and columns `x`, [N, 1, W]."""
    index = (y * images.shape[3] + x).flatten(1)  # [N, H·W]
    moved = images.flatten(2).gather(2, index[:, None].expand(-1, images.shape[1], -1))  # [N, C, H·W]
    return moved.view_as(images)


def _cutout(images: Tensor) -> Tensor:
    """Fill a rectangle of half the height and width with grey, 0."""
    count, _, height, width = images.shape
    half_height, half_width = (int(side * HOLE + 0.5) // 2 for side in (height, width))
    centre_y, centre_x = torch.rand(2, count, 1, 1, device=images.device)  # [N, 1, 1] each
    rows = torch.arange(height, device=images.device)[None, :, None]
    columns = torch.arange(width, device=images.device)[None, None, :]
    hole = ((rows - centre_y * height).abs() < half_height) & (
        (columns - centre_x * width).abs() < half_width
    )  # [N, H, W]
    return images.masked_fill(hole[:, None], 0.0)


def _flip(images: Tensor) -> Tensor:
    return torch.where(_random(images) < 0.5, images.flip(3), images)


def _turn(images: Tensor) -> Tensor:
    """Rotate each image by 0, 90, 180 or 270 degrees; by 0 or 180 if it is not square."""
    turns = torch.randint(4, (len(images), 1, 1, 1), device=images.device)
    if images.shape[2] != images.shape[3]:
        turns = turns // 2 * 2
    for number in (1, 2, 3) if images.shape[2] == images.shape[3] else (2,):
        images = torch.where(turns == number, images.rot90(number, (2, 3)), images)
    return images


_COLOURS = tuple(map(_of_colours, (_brightness, _saturation, _contrast)))

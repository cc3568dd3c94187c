"""Transparency: straight and premultiplied colours of RGBA images.

A network of four channels makes premultiplied RGBA: each colour is already multiplied by alpha. So the colour of
a fully transparent pixel is always 0, and the discriminator never sees a colour that nobody can see. Files, graphs
and engines hold straight RGBA, as PNG does. Images are float32 [N, 4, H, W] in [-1, 1], colours and alpha alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VISIBLE = 0.5 / 255  # alpha below it is rounded to 0 in 8 bits


def premultiplied(straight: Tensor) -> Tensor:
    """Multiply the colours of straight RGBA by alpha. Images of other channels are returned as they are."""
    if straight.shape[1] != 4:
        return straight
    levels = (straight + 1) / 2  # [N, 4, H, W] in [0, 1]
    colours, alpha = levels[:, :3], levels[:, 3:]
    return torch.cat([colours * alpha, alpha], 1) * 2 - 1


def straight(premultiplied: Tensor) -> Tensor:
    """Divide the colours of premultiplied RGBA by alpha, within [-1, 1]; black where a pixel is transparent.

    Images of other channels are returned as they are.
    """
    if premultiplied.shape[1] != 4:
        return premultiplied
    levels = (premultiplied + 1) / 2  # [N, 4, H, W] in [0, 1]
    colours, alpha = levels[:, :3], levels[:, 3:]
    visible = (colours / alpha.clamp(min=VISIBLE)).clamp(0, 1)
    colours = torch.where(alpha >= VISIBLE, visible, torch.zeros_like(visible))
    return torch.cat([colours, alpha], 1) * 2 - 1


class Straight(nn.Module):
    """A generator of premultiplied RGBA whose images are straight RGBA, for export and for files."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return straight images of z and, if conditional, of label."""
        return straight(self.generator(*inputs))

"""A grid of images with a label at each row and at each column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gantool.runtime.outputs.images import eight_bits, grid, over_checkerboard
from gantool.runtime.spec import Images

_SIZE = 12  # pixels of the letters
_LEAST = 64  # pixels per side of a cell
_PAD = 4


def labelled_grid(images: Images, rows: Sequence[str], columns: Sequence[str]) -> Images:
    """Return images, [R·C, H, W, 1, 3 or 4], as one sheet with labels, uint8 [height, width, 3].

    Images of fewer than 64 pixels are enlarged by repeating pixels.
    """
    images = eight_bits(images)
    if images.shape[3] == 4:
        images = over_checkerboard(images)
    enlarged = max(_LEAST // min(images.shape[1:3]), 1)
    images = images.repeat(enlarged, 1).repeat(enlarged, 2)
    height, width = images.shape[1:3]
    cells = grid(images, len(columns))  # [R·H, C·W, 1 or 3]
    font = ImageFont.load_default(_SIZE)
    left = int(max(map(font.getlength, rows))) + 2 * _PAD
    top = _SIZE + 2 * _PAD
    sheet = Image.new("RGB", (left + cells.shape[1], top + cells.shape[0]), "white")
    sheet.paste(Image.fromarray(cells.squeeze(2) if cells.shape[2] == 1 else cells), (left, top))
    draw = ImageDraw.Draw(sheet)
    for index, text in enumerate(rows):
        draw.text((_PAD, top + index * height + height // 2), text, "black", font, anchor="lm")
    for index, text in enumerate(columns):
        draw.text((left + index * width + width // 2, top // 2), text, "black", font, anchor="mm")
    return np.asarray(sheet)

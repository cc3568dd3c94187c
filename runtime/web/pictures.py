"""Images in a page: pixels as they are, transparency over the page's checkerboard, differences enlarged."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gantool.runtime.outputs.images import eight_bits, visible
from gantool.runtime.spec import Images
from gantool.runtime.web.document import data_uri
from gantool.runtime.web.text import escape

MOST = 512  # pixels a side; larger ones are shown in part of their size, since each is in the file
TIMES = {255: 64, 65535: 16384}  # the most that a difference is enlarged, by the level of white


def picture(image: Images, alternative: str) -> str:
    """Return one image, [H, W, C], as an element. Transparency shows the checkerboard of the page."""
    height, width, channels = image.shape
    shown = Image.fromarray(eight_bits(image)[:, :, 0] if channels == 1 else eight_bits(image))
    if (factor := _factor(height, width)) > 1:
        shown = shown.reduce(factor)
    file = io.BytesIO()
    shown.save(file, "PNG", optimize=True)
    kind = "pixels checkerboard" if channels == 4 else "pixels"
    return (
        f'<img class="{kind}" width="{shown.width}" height="{shown.height}" alt="{escape(alternative)}" '
        f'src="{data_uri(file.getvalue(), "image/png")}">'
    )


def difference(reference: Images, images: Images) -> NDArray[np.int32]:
    """Return the largest difference of a pixel's channels, in levels, [N, H, W, 1].

    A transparent pixel differs as far as one sees it: on white or on black, where that is more. Images of 8 bits
    are compared with images of 16 in 8 bits.
    """
    if images.dtype != reference.dtype:
        reference, images = eight_bits(reference), eight_bits(images)
    found = visible(images).astype(np.int32) - visible(reference).astype(np.int32)  # on black
    if images.shape[-1] == 4:
        colours, alpha = found[..., :3], found[..., 3:]
        found = np.concatenate([colours, colours - alpha], -1)  # on black, on white
    largest: NDArray[np.int32] = np.abs(found).max(-1, keepdims=True)
    return largest


def enlargement(differences: NDArray[np.int32], white: int) -> int:
    """Return the power of two by which differences are enlarged for the eye: all but 1 % stay below white."""
    most = max(int(np.percentile(differences, 99)), 1)
    return min(1 << ((white // most).bit_length() - 1), TIMES[white])


def difference_picture(difference: NDArray[np.int32], times: int, white: int, alternative: str) -> str:
    """Return the difference of one image, [H, W, 1], enlarged `times`, up to white."""
    levels = np.minimum(difference.astype(np.int64) * times, white) * 255 // white
    height, width, _ = levels.shape
    if (factor := _factor(height, width)) > 1:  # the largest of each square, which a mean would hide
        padded = np.pad(levels, ((0, -height % factor), (0, -width % factor), (0, 0)))
        levels = padded.reshape(padded.shape[0] // factor, factor, -1, factor, 1).max((1, 3))
    return picture(levels.astype(np.uint8), alternative)


def _factor(height: int, width: int) -> int:
    return -(-max(height, width) // MOST)

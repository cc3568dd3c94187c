"""Compare a picture with the image that its mark promises."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, JpegImagePlugin

from gantool.runtime.outputs.images import eight_bits, over_colour, visible
from gantool.runtime.spec import Images
from gantool.runtime.web.pictures import difference

Outcome = Literal["authentic", "close", "resized", "altered", "other"]

# Largest difference, in levels of 255, by which engines of one generator round differently. The same graph on the
# same library differs by one level between processors and batches. benchmarks/export.md has more.
SAME, OTHERS = 1, {"fp32": 2, "fp16": 16, "bf16": 48, "int8": 64}
_ORDER: tuple[Outcome, ...] = ("authentic", "close", "resized", "altered", "other")
_PARTS = 0.5  # share of pixels beyond that: more are another picture
_RESIZED = 28.0  # dB
_FILTERS = (
    Image.Resampling.LANCZOS,
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
    Image.Resampling.NEAREST,
)


@dataclass(frozen=True, eq=False)
class Compared:
    """How a picture differs from the image that its mark promises."""

    outcome: Outcome
    levels: int = 0  # the largest difference, in levels of 255
    share: float = 0.0  # of the pixels that are altered
    pair: tuple[Images, Images] | None = (
        None  # what is there and what was promised, [H, W, C], if it is altered
    )
    note: str = ""


def tolerance(precisions: tuple[str | None, str | None], same: bool) -> int:
    """Return the largest difference of an unaltered image; `same`: it is of the very graph and library."""
    return SAME if same else max(OTHERS.get(each or "", OTHERS["int8"]) for each in precisions)


def compare(picture: Image.Image, expected: Images, most: int) -> Compared:
    """Compare an opened picture with the image, [H, W, C], that it should be. `most`: see `tolerance`.

    If the image is transparent and the picture is not, it may lie on white or on black.
    """
    if expected.shape[2] == 4 and not picture.has_transparency_data:
        laid = (over_colour(expected[None], (level, level, level))[0] for level in (255, 0))
        return min((_compare(picture, each, most) for each in laid), key=_badness)
    return _compare(picture, expected, most)


def _badness(found: Compared) -> tuple[int, float]:
    return _ORDER.index(found.outcome), found.share


def _compare(picture: Image.Image, expected: Images, most: int) -> Compared:
    height, width, channels = expected.shape
    if picture.size != (width, height):
        return _compare_resized(picture, expected)
    if picture.format == "JPEG":
        expected = _as_jpeg(picture, expected)
        channels = expected.shape[2]
    found = _pixels(picture, channels)
    if found.dtype != expected.dtype:
        found, expected = eight_bits(found), eight_bits(expected)
    if np.array_equal(found, expected):
        return Compared("authentic", note="as a JPEG of these settings" if picture.format == "JPEG" else "")
    unit = np.iinfo(found.dtype).max // 255
    differences = difference(expected[None], found[None])  # [1, H, W, 1]
    levels = math.ceil(differences.max() / unit)
    beyond = differences > most * unit
    if not beyond.any():
        return Compared("close", levels)
    share = float(beyond.mean())
    return Compared("other" if share > _PARTS else "altered", levels, share, (found, expected))


def _pixels(picture: Image.Image, channels: int) -> Images:
    """Return [H, W, C] of a picture of any mode."""
    if picture.mode.startswith("I;16") and channels == 1:
        return np.asarray(picture, np.uint16)[:, :, None]
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    array = np.asarray(picture.convert(mode))
    return array.reshape(*array.shape[:2], channels)


def _as_jpeg(picture: Image.Image, expected: Images) -> Images:
    """Return an image as it comes out of a JPEG with the tables of another one: then both may be equal."""
    assert isinstance(picture, JpegImagePlugin.JpegImageFile)
    image = eight_bits(expected)
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert(picture.mode).save(
        file,
        "JPEG",
        qtables=picture.quantization,
        subsampling=JpegImagePlugin.get_sampling(picture),
    )
    with Image.open(file) as again:
        return _pixels(again, 1 if picture.mode == "L" else 3)


def _compare_resized(picture: Image.Image, expected: Images) -> Compared:
    """Compare a picture of another size, by the filter that fits best."""
    image = eight_bits(expected)
    channels = image.shape[2]
    small = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    found = visible(_pixels(picture, channels)).astype(np.float64)
    errors = []
    for resample in _FILTERS:
        resized = np.asarray(small.resize(picture.size, resample)).reshape(found.shape)
        errors.append(float(((visible(resized) - found) ** 2).mean()))
    psnr = 10 * math.log10(255**2 / max(min(errors), 1e-9))
    size = f"{expected.shape[1]}×{expected.shape[0]} to {picture.size[0]}×{picture.size[1]}"
    note = f"resized from {size}, PSNR {psnr:.0f} dB" if psnr < 60 else f"resized from {size}, nothing else"
    return Compared("resized" if psnr >= _RESIZED else "other", note=note)

"""Compare a picture with the image that its mark promises.

Anyone can write a mark. What passes as authentic rests on the pixels, not on what the mark says of its engine.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin

from gantool.runtime.outputs.images import eight_bits, over_colour, visible
from gantool.runtime.spec import Images
from gantool.runtime.web.pictures import difference

Outcome = Literal["authentic", "close", "unproven", "copy", "altered", "other"]

# Levels of 255 by which engines of FP32 and FP16 round differently. One hardly sees them. A JPEG makes them larger,
# since a coefficient may round to its next step: by up to half a step, and 16 levels at most.
ROUNDING, ROUNDING_JPEG = 4, 16
# FP16 rounds a few pixels by more: in 3,000 images by up to 11 levels, in 0.8 % of the pixels of one image.
RARE, RARE_SHARE = 16, 0.01
# The largest differences of engines of these precisions (INT8: 117 were measured). An alteration may hide in them.
_MOST = {"fp32": ROUNDING, "fp16": 16, "bf16": 48, "int8": 128}
_ORDER: tuple[Outcome, ...] = ("authentic", "close", "unproven", "copy", "altered", "other")
_PARTS = 0.5  # share of pixels beyond that: more are another picture
_ALIKE = 28.0  # dB: a copy of the picture
_PROFILES = ("icc_profile", "gamma", "chromaticity")  # Pillow's names
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
    share: float = 0.0  # of the pixels that differ by more than rounding
    pair: tuple[Images, Images] | None = None  # [H, W, C]: what is there, what was promised
    note: str = ""


def largest_difference(*precisions: str | None) -> int:
    """Return the largest difference, in levels, by which engines of these precisions round; None: unknown."""
    return max(_MOST.get(each or "", _MOST["int8"]) for each in precisions)


def compare(picture: Image.Image, expected: Images, most: int) -> Compared:
    """Compare an opened picture with the image, [H, W, C], that it should be.

    `most`: see `largest_difference`. If the image is transparent and the picture is not, it may lie on white or on
    black. Raises one of `pictures.ERRORS`.
    """
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        return Compared("altered", note=f"it has {frames} frames, and its mark is of one image")
    if expected.shape[2] != 4 and _transparent(picture):
        return Compared("altered", note="parts of it are transparent, and those of its image are not")
    if expected.shape[2] == 4 and not picture.has_transparency_data:
        laid = [
            _compare(picture, over_colour(expected[None], (level, level, level))[0], most)
            for level in (255, 0)
        ]
        found = min(laid, key=_badness)
        if found.outcome in ("authentic", "close"):
            ground = "laid on white" if found is laid[0] else "laid on black"
            found = replace(found, note=f"{found.note}, {ground}" if found.note else ground)
    else:
        found = _compare(picture, expected, most)
    if found.outcome in ("authentic", "close") and (how := _shown_otherwise(picture)):
        return replace(found, outcome="copy", note=f"it has the pixels of the image, but {how}")
    return found


def _badness(found: Compared) -> tuple[int, float]:
    return _ORDER.index(found.outcome), found.share


def _transparent(picture: Image.Image) -> bool:
    if not picture.has_transparency_data:
        return False
    return int(np.asarray(picture.convert("RGBA"))[:, :, 3].min()) < 255


def _shown_otherwise(picture: Image.Image) -> str:
    """Return why a picture looks unlike its pixels, in words."""
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return "its EXIF turns or mirrors them"
    if any(picture.info.get(name) for name in _PROFILES):
        return "a colour profile may show them in other colours"
    return ""


def _compare(picture: Image.Image, expected: Images, most: int) -> Compared:
    height, width, channels = expected.shape
    if picture.size != (width, height):
        return _compare_resized(picture, expected)
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        return _compare_jpeg(picture, eight_bits(expected), most)
    return _compare_pixels(_pixels(picture, channels), expected, ROUNDING, most)


def _compare_pixels(found: Images, expected: Images, close: int, most: int) -> Compared:
    """Compare [H, W, C]; differences of up to `close` levels are rounding, of up to `most` they may be."""
    if found.dtype != expected.dtype:
        found, expected = eight_bits(found), eight_bits(expected)
    if np.array_equal(found, expected):
        return Compared("authentic")
    unit = np.iinfo(found.dtype).max // 255
    differences = difference(expected[None], found[None])  # [1, H, W, 1]
    levels = math.ceil(differences.max() / unit)
    if levels == 0:
        return Compared("authentic", note="except for the colours of transparent pixels, which nobody sees")
    share, pair = float((differences > close * unit).mean()), (found, expected)
    if share == 0 or (levels <= min(most, RARE) and share <= RARE_SHARE):
        return Compared("close", levels)
    if levels <= most:
        return Compared("unproven", levels, share, pair)
    if share <= _PARTS:
        return Compared("altered", levels, share, pair)
    psnr = _psnr(eight_bits(found), eight_bits(expected))
    if psnr >= _ALIKE:
        note = f"re-encoded, or changed all over, PSNR {psnr:.0f} dB"
        return Compared("copy", levels, share, pair, note)
    return Compared("other", levels, share, pair)


def _pixels(picture: Image.Image, channels: int) -> Images:
    """Return [H, W, C] of a picture of any mode."""
    if picture.mode.startswith("I;16"):
        grey = np.asarray(picture, np.uint16)[:, :, None]
        return grey if channels == 1 else _pixels(Image.fromarray(eight_bits(grey)[:, :, 0]), channels)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    array = np.asarray(picture.convert(mode))
    return array.reshape(*array.shape[:2], channels)


def _compare_jpeg(picture: JpegImagePlugin.JpegImageFile, expected: Images, most: int) -> Compared:
    """Compare a JPEG with the image as it comes out of a JPEG with the same tables: both may be equal."""
    file = io.BytesIO()
    _picture(expected).convert(picture.mode).save(
        file,
        "JPEG",
        qtables=picture.quantization,
        subsampling=JpegImagePlugin.get_sampling(picture),
    )
    channels = 1 if picture.mode == "L" else 3
    with Image.open(file) as again:
        promised = _pixels(again, channels)
    step = max(max(table) for table in picture.quantization.values())
    close = min(ROUNDING + (step + 1) // 2, ROUNDING_JPEG)
    found = _compare_pixels(_pixels(picture, channels), promised, close, max(most, close) + step // 2)
    if found.outcome not in ("authentic", "close"):
        return found
    if channels == 1 and expected.shape[2] == 3 and np.ptp(expected, 2).any():
        return replace(found, outcome="copy", note="a JPEG without the colours of the image")
    return replace(found, note="as a JPEG of these settings")


def _compare_resized(picture: Image.Image, expected: Images) -> Compared:
    """Compare a picture of another size, by the filter that fits best."""
    image = eight_bits(expected)
    found = eight_bits(_pixels(picture, image.shape[2]))
    small = _picture(image)
    resized = (np.asarray(small.resize(picture.size, each)).reshape(found.shape) for each in _FILTERS)
    psnr = max(_psnr(each, found) for each in resized)
    size = f"{expected.shape[1]}×{expected.shape[0]} to {picture.size[0]}×{picture.size[1]}"
    note = f"resized from {size}, PSNR {psnr:.0f} dB" if psnr < 60 else f"resized from {size}, nothing else"
    return Compared("copy" if psnr >= _ALIKE else "other", note=note)


def _psnr(one: Images, other: Images) -> float:
    """Return the PSNR of two images, uint8 [H, W, C], in dB; 99 at most."""
    error = np.square(visible(one).astype(np.float32) - visible(other)).mean(dtype=np.float64)
    return min(10 * math.log10(255**2 / max(float(error), 1e-9)), 99.0)


def _picture(image: Images) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)

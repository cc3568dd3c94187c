"""The output formats by name, and the check that existing images come from the same command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gantool.runtime.errors import UsageError
from gantool.runtime.items import Item, Items
from gantool.runtime.outputs.base import Output, Target
from gantool.runtime.outputs.image_files import ImageFiles
from gantool.runtime.outputs.images import visible
from gantool.runtime.outputs.npy import NpyArray
from gantool.runtime.outputs.raw import RawFrames
from gantool.runtime.outputs.webdataset import WebDataset
from gantool.runtime.request import Format
from gantool.runtime.spec import Images, Spec

OUTPUTS: dict[Format, Callable[[Target, Items, Spec], Output]] = {
    "png": ImageFiles,
    "webp": ImageFiles,
    "jpg": ImageFiles,
    "tiff": ImageFiles,
    "npy": NpyArray,
    "tar": WebDataset,
    "-": RawFrames,
}
# Largest mean difference of two images of the same seed, in levels of 255. Providers and precisions differ by less.
_SAME = 3.0


def check_same(output: Output, remake: Callable[[Item], Images]) -> None:
    """Make the images of `output.sample()` again. Raises UsageError if one differs.

    `remake` returns the image of an item, [H, W, C].
    """
    for sample in output.sample():
        again = remake(sample.item)
        if sample.encoding is not None:
            again = sample.encoding.round_trip(again)
        difference = np.abs(visible(sample.image).astype(np.int32) - visible(again)).mean()
        if difference > _SAME * np.iinfo(again.dtype).max / 255:
            raise UsageError(
                f"`resume`: {sample.name} is not the image that this command makes of that seed (another engine, "
                "`truncation`, `label` or `background`?): choose another `out`, or leave `resume` out"
            )

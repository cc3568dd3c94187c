"""The output formats by name, and the check that an earlier run was of the same command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gantool.runtime.errors import UsageError
from gantool.runtime.outputs.base import Output, Target
from gantool.runtime.outputs.image_files import ImageFiles
from gantool.runtime.outputs.npy import NpyArray
from gantool.runtime.outputs.raw import RawFrames
from gantool.runtime.outputs.webdataset import WebDataset
from gantool.runtime.request import Format
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Images, Spec

OUTPUTS: dict[Format, Callable[[Target, Seeds, Spec], Output]] = {
    "png": ImageFiles,
    "webp": ImageFiles,
    "jpg": ImageFiles,
    "npy": NpyArray,
    "tar": WebDataset,
    "-": RawFrames,
}
# Grey levels, on average over an image: more than another provider or precision makes of the same seed.
_SAME = 3.0


def check_same(output: Output, remake: Callable[[int], Images]) -> None:
    """Make the images of `output.sample()` once more. Raises UsageError where one is another image.

    `remake` returns the image of a seed, uint8 [H, W, C].
    """
    for there in output.sample():
        again = remake(there.seed)
        if there.encoding is not None:
            again = there.encoding.round_trip(again)
        if np.abs(there.image.astype(np.int16) - again).mean() > _SAME:
            raise UsageError(
                f"`resume`: {there.name} is not the image that this command makes of that seed (another engine, "
                "`truncation` or `label`?): choose another `out`, or leave `resume` out"
            )

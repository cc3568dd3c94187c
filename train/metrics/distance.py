"""The Fréchet distance of images to a data set as one function, which `gantool export --data` is handed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import UsageError
from gantool.train.data.dataset import load_images
from gantool.train.metrics.evaluate import spread_images
from gantool.train.metrics.extractors import find_extractor
from gantool.train.metrics.scores import frechet

Pixels = NDArray[np.uint8]  # [N, H, W, C]


def distance_to(data: str, features: str, note: Callable[[str], None]) -> Callable[[Pixels], float]:
    """Return a function from images, uint8 [N, H, W, C], to their distance to `data`.

    The data are read, and the extractor `features` is made, at the first call, which tells their size. Raises
    UsageError for images that are no squares, as those of data are.
    """

    @cache
    def real(size: int, channels: int) -> tuple[Any, Any]:
        loaded = load_images(data, size, channels, log=note)
        extractor = find_extractor(features, loaded, note)
        return extractor, extractor.vectors(spread_images(loaded.images))

    def distance(images: Pixels) -> float:
        _, height, width, channels = images.shape
        if height != width:
            raise UsageError(f"--data compares squares, and these images are {height}×{width}: leave it out")
        extractor, vectors = real(height, channels)
        return frechet(vectors, extractor.vectors(images))

    return distance

"""A function that returns the Fréchet distance of images to a data set, for `gantool export --data`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from gantool.models.config import CHECKPOINT_NAME, Size
from gantool.runtime.outputs.images import eight_bits
from gantool.runtime.runs import RUNS, newest_run
from gantool.runtime.spec import Images
from gantool.train.data.dataset import load_images
from gantool.train.metrics.extractors import find_extractor
from gantool.train.metrics.measure import subsample
from gantool.train.metrics.scores import frechet
from gantool.train.run_dir import conversion_beside


def distance_to(data: str, features: str, source: Path | None = None) -> Callable[[Images], float]:
    """Return a function from images, [N, H, W, C] of 8 or 16 bits, to their Fréchet distance to `data`.

    source: the run or checkpoint that is exported (None: of the newest run). The data are converted as for its
            training.

    The first call reads the data and makes the extractor `features`, because only then is the size known.
    """
    run = newest_run(RUNS, CHECKPOINT_NAME) if source is None else source
    checkpoint = Path() if run is None else run / CHECKPOINT_NAME if run.is_dir() else run

    @cache
    def real(size: Size, channels: int) -> tuple[Any, Any]:
        loaded = load_images(data, size, channels, *conversion_beside(checkpoint)).in_eight_bits
        extractor = find_extractor(features, loaded)
        return extractor, extractor.vectors(subsample(loaded.images))

    def distance(images: Images) -> float:
        _, height, width, channels = images.shape
        extractor, vectors = real(Size(height, width), channels)
        return frechet(vectors, extractor.vectors(eight_bits(images)))

    return distance

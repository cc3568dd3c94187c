"""Look for the seed of a picture without a mark: compare it with the images of many seeds, made small."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gantool.runtime.outputs.images import eight_bits, visible
from gantool.runtime.provenance.pictures import opened
from gantool.runtime.spec import Images

SIDE = 8  # pixels of a small picture: fingerprints of 192 numbers tell seeds apart
Small = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The best seed for a picture; distances are root mean square differences of small pictures, in grey levels."""

    seed: int
    distance: float
    second: float  # of the next best seed

    @property
    def sure(self) -> bool:
        """Whether the best seed stands out from all others: it is three times nearer than the next one."""
        return self.distance * 3 < self.second < math.inf


class Search:
    """Keeps the two best seeds for each of some pictures, in constant memory."""

    def __init__(self) -> None:
        self._wanted: list[Small] = []
        self._seeds: list[int] = []
        self._best: list[float] = []
        self._second: list[float] = []

    def want(self, path: Path) -> None:
        """Look for the seed of a picture. Raises GantoolError if it is damaged or too large."""
        with opened(path) as picture:
            self._wanted.append(small_picture(picture))
        self._seeds.append(-1)
        self._best.append(math.inf)
        self._second.append(math.inf)

    def add(self, seeds: Sequence[int], images: Images) -> None:
        """Compare the images of seeds, [n, H, W, C], with all pictures."""
        made = small(images)  # [n, 2, numbers]
        for row, wanted in enumerate(self._wanted):
            distances = _distances(wanted, made)  # [n]
            for place in np.argsort(distances)[:2]:
                distance = float(distances[place])
                if distance < self._best[row]:
                    self._second[row] = self._best[row]
                    self._best[row], self._seeds[row] = distance, seeds[place]
                elif distance < self._second[row]:
                    self._second[row] = distance

    def found(self) -> Iterator[Found]:
        """Yield the best seed of each picture, in order."""
        for seed, best, second in zip(self._seeds, self._best, self._second, strict=True):
            yield Found(seed, best, second)


def small(images: Images) -> Small:
    """Return small copies of images, [N, H, W, C], on black and on white: float32 [N, 2, SIDE · SIDE · 3]."""
    return np.stack([_reduced(image) for image in eight_bits(images)])


def small_picture(picture: Image.Image) -> Small:
    """Return small copies of a picture of any size, [2, numbers] as `small` does; [1, numbers] if it is opaque."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray(eight_bits(np.asarray(picture, np.uint16)))
    clear = picture.has_transparency_data
    array = np.asarray(picture.convert("RGBA" if clear else "RGB"))
    found = _reduced(array)
    return found if clear and array[:, :, 3].min() < 255 else found[:1]


def _reduced(image: Images) -> Small:
    """Return an image, uint8 [H, W, C], on black and on white, [2, numbers]."""
    seen = visible(image)  # on black
    side = (SIDE, SIDE)
    planes = [Image.fromarray(np.ascontiguousarray(seen[:, :, at])) for at in range(seen.shape[2])]
    means = [np.asarray(plane.resize(side, Image.Resampling.BOX), np.float32).ravel() for plane in planes]
    colours, alpha = (
        (means[:3], means[3]) if len(means) == 4 else (means * (3 // len(means)), np.float32(255))
    )
    black = np.stack(colours)  # [3, SIDE · SIDE]
    return np.stack([black, black + (255 - alpha)]).reshape(2, -1)


def _distances(wanted: Small, made: Small) -> NDArray[np.float32]:
    """Return how far a picture is from each image; one without transparency may lie on black or on white."""
    square = ((made - wanted) ** 2).mean(2)  # [n, 2]
    distances: Small = np.sqrt(square.mean(1) if len(wanted) == 2 else square.min(1))
    return distances

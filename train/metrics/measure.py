"""Compare generated images with a data set: scores, missing classes, nearest training images."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantool.runtime.outputs.images import sheet
from gantool.runtime.spec import Images
from gantool.train.data.dataset import ImageData
from gantool.train.data.labels import Labels
from gantool.train.metrics.extractors import Extractor, Vectors
from gantool.train.metrics.scores import FeatureScores, scores
from gantool.train.metrics.spectrum import checkerboard

LEAST = 6  # least number of vectors per side
FEW = 10  # with fewer images per dimension of a vector, the Fréchet distance is far too high
REAL = 10_000  # largest number of training images in the comparison
NEAREST = 12  # rows of nearest.png, with NEIGHBOURS training images each
NEIGHBOURS = 4
MISSING_CLASS = 0.1  # a class is missing below this fraction of its share of the data


@dataclass(frozen=True)
class ClassShares:
    """The share of each class among generated images, and the classes that are missing."""

    shares: dict[str, float]
    missing: list[str]


@dataclass(frozen=True)
class Measurement:
    """A comparison of generated images with a data set."""

    samples: int  # generated images
    real: int  # images of the data
    scores: FeatureScores  # rounded to five decimals
    checkerboard: float | None  # see `spectrum`; None if the images say nothing about it
    classes: ClassShares | None  # of labelled data, if the extractor classifies

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as a flat JSON object."""
        value = {
            "samples": self.samples,
            "real": self.real,
            **asdict(self.scores),
            "checkerboard": self.checkerboard,
        }
        return value if self.classes is None else {**value, "classes": asdict(self.classes)}


def measure(
    extractor: Extractor, data: ImageData, images: Images, known: Vectors | None = None
) -> Measurement:
    """Compare images, uint8 [M, H, W, C], with a data set.

    `known`: the vectors of `subsample(data.images)`, if the caller has computed them.
    """
    real = subsample(data.images)
    vectors = extractor.vectors(real) if known is None else known
    found = scores(vectors, extractor.vectors(images)).rounded()
    classes = None
    if extractor.logits and data.labels:
        shown = (extractor.logits(each).argmax(1) for each in (real, images))
        classes = _classes(data.labels, *shown)
    board = checkerboard(images, real)
    return Measurement(
        len(images), len(real), found, round(board, 3) if math.isfinite(board) else None, classes
    )


def score_halves(real: Vectors) -> FeatureScores | None:
    """Score one half of the data against the other: about the scores of perfect images. None for too few images."""
    return scores(real[::2], real[1::2]).rounded() if len(real) >= 2 * LEAST else None


def warnings(extractor: Extractor, images: Images, data: ImageData) -> Iterator[str]:
    """Yield a message for each reason why the scores are unreliable."""
    dimensions = extractor.vectors(images[:1]).shape[1]
    for count, what in ((len(images), "generated images"), (len(data.images), "images of the data")):
        if count < min(FEW * dimensions, REAL):
            yield (
                f"{count:,} {what} are few for vectors of {dimensions:,} numbers: the Fréchet distance tends to "
                "be too high, so compare it only at the same number of images; the kernel distance does not "
                "depend on it"
            )
    if extractor.warning:
        yield extractor.warning


def append_metric(folder: Path, features: str, value: dict[str, Any]) -> None:
    """Append a line to metric-<features>.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"metric-{features}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**value, "time": round(time.time())}) + "\n")


def subsample(images: Images, count: int = REAL) -> Images:
    """Return at most `count` images, evenly spaced."""
    return np.ascontiguousarray(
        images[np.linspace(0, len(images) - 1, min(count, len(images)), dtype=np.int64)]
    )


def nearest_sheet(extractor: Extractor, real: Images, images: Images) -> Images:
    """Return a sheet whose rows show a generated image and the training images nearest to it."""
    chosen = subsample(images, NEAREST)
    real = subsample(real, 60_000)
    vectors, others = (torch.from_numpy(extractor.vectors(each)) for each in (chosen, real))
    distances = torch.cdist(vectors, others)  # [12, N]
    near = distances.topk(min(NEIGHBOURS, len(real)), largest=False).indices.numpy()  # [12, 4]
    rows = np.concatenate([chosen[:, None], real[near]], axis=1)  # [12, 5, H, W, C]
    return sheet(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])


def _classes(labels: Labels, real: NDArray[np.int64], fake: NDArray[np.int64]) -> ClassShares:
    """Compare the predicted classes of real and of generated images.

    Real images are classified too, instead of using their labels, so that errors of the classifier affect both
    sides.
    """
    count = len(labels.classes)
    real_share, fake_share = (np.bincount(each, minlength=count) / len(each) for each in (real, fake))
    missing = [
        name
        for name, of_real, of_fake in zip(labels.classes, real_share, fake_share, strict=True)
        if of_real > 0 and of_fake < MISSING_CLASS * of_real
    ]
    return ClassShares(dict(zip(labels.classes, fake_share.round(4).tolist(), strict=True)), missing)

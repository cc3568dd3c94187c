"""What a reader wants to see beside the scores: samples, the most copy-like ones, and distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gantool.runtime.outputs.images import eight_bits, visible
from gantool.runtime.spec import Images
from gantool.train.metrics.extractors import Extractor, Vectors
from gantool.train.metrics.scores import MAX_VECTORS, nearest_of, spread

SAMPLES = 64
COPIES = 12  # generated images shown beside their nearest training images
NEIGHBOURS = 4  # of each

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class CopyLike:
    """A generated image and the training images nearest to it."""

    number: int  # of the image, from 0
    ratio: float  # see `Evidence.ratios`
    image: Images  # [H, W, C]
    nearest: Images  # [NEIGHBOURS, H, W, C], the nearest first


@dataclass(frozen=True)
class Evidence:
    """Samples and distributions of generated and of training images."""

    samples: Images  # the first ones, [N, H, W, C]
    copy_like: tuple[CopyLike, ...]  # the most copy-like first
    distances: Numbers  # from a generated image to the nearest training image
    real_distances: Numbers  # from a training image to the nearest other one
    # Distance to the nearest training image over that one's distance to its own nearest neighbour: at most 1/3 in a
    # near-copy, as in the score `copies`.
    ratios: Numbers
    brightness: Numbers  # mean of each generated image, 0 to 255
    real_brightness: Numbers


def gather(extractor: Extractor, data: Images, images: Images, real: Vectors) -> Evidence:
    """Compare generated images, uint8 [M, H, W, C], with training images, `data` and their vectors `real`."""
    numbers = np.linspace(
        0, len(images) - 1, min(MAX_VECTORS, len(images)), dtype=np.int64
    )  # as `spread` does
    vectors, others = (torch.from_numpy(each) for each in (extractor.vectors(images[numbers]), real))
    distances, index = nearest_of(vectors, others)
    own = nearest_of(others[index], others, rank=2)[0]
    ratios = (distances / own.clamp(min=1e-12)).double().numpy()
    copy_like = []
    for at in np.argsort(ratios, kind="stable")[:COPIES].tolist():
        to_all = torch.cdist(vectors[at : at + 1], others)[0]  # [N]
        near = to_all.topk(min(NEIGHBOURS, len(others)), largest=False).indices.numpy()
        copy_like.append(CopyLike(int(numbers[at]), float(ratios[at]), images[numbers[at]], data[near]))
    some = torch.from_numpy(spread(real, MAX_VECTORS))
    return Evidence(
        images[:SAMPLES],
        tuple(copy_like),
        distances.double().numpy(),
        nearest_of(some, others, rank=2)[0].double().numpy(),
        ratios,
        _brightness(images),
        _brightness(data),
    )


def _brightness(images: Images) -> Numbers:
    """Return the mean of each image; transparent pixels are black."""
    found = [
        visible(eight_bits(images[start : start + 500]))[..., :3].mean((1, 2, 3))
        for start in range(0, len(images), 500)
    ]
    return np.concatenate(found)

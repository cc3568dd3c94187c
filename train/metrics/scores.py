"""How near generated images come to the data, by their vectors (`features.py`).

fd           Fréchet distance between two Gaussians (Heusel et al. 2017, arXiv:1706.08500); falls with more samples
kid          kernel distance, unbiased (Bińkowski et al. 2018, arXiv:1801.01401), mean over subsets
precision    share of generated images that lie among the real ones, by their 3 nearest neighbours, and
recall       the other way round (Kynkäänniemi et al. 2019, arXiv:1904.06991)
diversity    mean distance between two generated images, over that between two real ones: 0 is one image only
copies       share of generated images less than a third as far from a real one as that one is from its nearest
             neighbour among the real ones: near 0 unless images are memorized

The distances are torchmetrics'.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gantool.train.data.streams import own_stream

Vectors = NDArray[np.float32]  # [N, F]

NEIGHBOURS = 3
COPY = 1 / 3
_AT_MOST = 5000  # vectors a side where all pairs are looked at
_CHUNK = 1000


@dataclass(frozen=True)
class Scores:
    """The numbers above."""

    fd: float
    kid: float
    precision: float
    recall: float
    diversity: float
    copies: float


def scores(real: Vectors, fake: Vectors) -> Scores:
    """Compare vectors of real and generated images, [N, F] and [M, F]; both must be more than 4."""
    some_real, some_fake = (torch.from_numpy(spread(each, _AT_MOST)) for each in (real, fake))
    nearest, index = nearest_of(some_fake, torch.from_numpy(real))
    own = nearest_of(torch.from_numpy(real)[index], torch.from_numpy(real), rank=2)[0]
    return Scores(
        fd=frechet(real, fake),
        kid=_kernel(real, fake),
        precision=_inside(some_fake, some_real),
        recall=_inside(some_real, some_fake),
        diversity=_mean_distance(some_fake) / max(_mean_distance(some_real), 1e-12),
        copies=(nearest <= COPY * own).float().mean().item(),
    )


class _AsTheyAre(nn.Module):
    """Stands where torchmetrics has its network: the vectors are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors


def frechet(real: Vectors, fake: Vectors) -> float:
    """Return the Fréchet distance between vectors, [N, F] and [M, F]."""
    from torchmetrics.image.fid import (
        FrechetInceptionDistance,  # a second to import: not in each gantool train
    )

    # of several processes one measures, so torchmetrics must not wait for the others
    metric = FrechetInceptionDistance(_AsTheyAre(real.shape[1]), sync_on_compute=False)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return max(metric.compute().item(), 0.0)  # the rounding of a root can leave -1e-9


def _kernel(real: Vectors, fake: Vectors) -> float:
    from torchmetrics.image.kid import KernelInceptionDistance

    subset = min(1000, len(real), len(fake))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it keeps all vectors, which are here already
        metric = KernelInceptionDistance(
            _AsTheyAre(real.shape[1]), subsets=20, subset_size=subset, sync_on_compute=False
        )
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    with own_stream(0):  # subsets are drawn at random
        return float(metric.compute()[0].item())


def spread(values: Vectors, count: int) -> Vectors:
    """Return at most `count` rows, evenly spread."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values)), dtype=np.int64)]


def nearest_of(vectors: Tensor, others: Tensor, rank: int = 1) -> tuple[Tensor, Tensor]:
    """Return the distance from each vector to its nearest among `others` and that one's index, both [N].

    `rank` 2 gives the second nearest: what is nearest but itself, for vectors that are among the others.
    """
    parts = [torch.cdist(part, others).topk(rank, largest=False) for part in torch.split(vectors, _CHUNK)]
    distance = torch.cat([part.values[:, -1] for part in parts])
    return distance, torch.cat([part.indices[:, -1] for part in parts])


def _inside(vectors: Tensor, others: Tensor) -> float:
    """Return the share of vectors within the ball of any other, as large as its 3 nearest neighbours need."""
    radius = nearest_of(others, others, rank=NEIGHBOURS + 1)[0]  # [M]; the first is itself
    inside = [(torch.cdist(part, others) <= radius).any(1) for part in torch.split(vectors, _CHUNK)]
    return torch.cat(inside).float().mean().item()


def _mean_distance(vectors: Tensor) -> float:
    half = len(vectors) // 2
    return cast(float, torch.cdist(vectors[:half], vectors[half:]).mean().item())

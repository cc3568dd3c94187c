"""Scores of generated images against the data, from their feature vectors (`extractors.py`).

fd           Fréchet distance between two Gaussians (Heusel et al. 2017, arXiv:1706.08500); falls with more samples
kid          kernel distance, unbiased (Bińkowski et al. 2018, arXiv:1801.01401), mean over subsets
precision    share of generated images that lie among real ones: within the distance from a real image to its third
             nearest neighbour
recall       share of real images that lie among generated ones (both: Kynkäänniemi et al. 2019, arXiv:1904.06991)
diversity    mean distance between two generated images, divided by that between two real ones; 0: all are the same
copies       share of generated images whose distance to the nearest real image is at most a third of that image's
             distance to its own nearest real neighbour; near 0 unless images are memorized
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantool.train.data.streams import own_stream

Vectors = NDArray[np.float32]  # [N, F]

NEIGHBOURS = 3
COPY = 1 / 3
SUBSETS, SUBSET = 20, 1000  # of the kernel distance: number of subsets, largest size of a subset
MAX_VECTORS = 5000  # per side, where all pairs are compared
_CHUNK = 1000  # vectors compared at a time, to limit memory


@dataclass(frozen=True)
class FeatureScores:
    """The scores in the docstring of this module."""

    fd: float
    kid: float
    precision: float
    recall: float
    diversity: float
    copies: float

    def rounded(self) -> FeatureScores:
        """Return the scores rounded to five decimals, as in files."""
        return FeatureScores(**{name: round(value, 5) for name, value in asdict(self).items()})


def scores(real: Vectors, fake: Vectors) -> FeatureScores:
    """Compare vectors of real and generated images, [N, F] and [M, F], with N and M over 4."""
    some_real, some_fake = (torch.from_numpy(spread(each, MAX_VECTORS)) for each in (real, fake))
    nearest, index = nearest_of(some_fake, torch.from_numpy(real))
    own = nearest_of(torch.from_numpy(real)[index], torch.from_numpy(real), rank=2)[0]
    return FeatureScores(
        fd=frechet(real, fake),
        kid=kernel(real, fake),
        precision=_inside(some_fake, some_real),
        recall=_inside(some_real, some_fake),
        diversity=_mean_distance(some_fake) / max(_mean_distance(some_real), 1e-12),
        copies=(nearest <= COPY * own).float().mean().item(),
    )


def frechet(real: Vectors, fake: Vectors) -> float:
    """Return the Fréchet distance between Gaussians of the same mean and covariance as the vectors, [N, F], [M, F].

    |difference of means|² + tr(A) + tr(B) - 2 tr(√(AB)), with covariances A and B. AB has the same eigenvalues as
    √A B √A, which is symmetric, so they are real.
    """
    a, b = (torch.from_numpy(each).double() for each in (real, fake))  # [N, F], [M, F]
    cov_a, cov_b = a.T.cov(), b.T.cov()  # [F, F]
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(float(distance), 0.0)  # rounding can leave -1e-9


def kernel(real: Vectors, fake: Vectors) -> float:
    """Return the unbiased kernel distance between vectors, [N, F] and [M, F]: the mean over SUBSETS subsets.

    It is the squared MMD with the polynomial kernel (x·y / F + 1)³, in float32.
    """
    count = min(SUBSET, len(real), len(fake))
    total = 0.0
    with own_stream(0):
        for _ in range(SUBSETS):
            a, b = (torch.from_numpy(each)[torch.randperm(len(each))[:count]] for each in (real, fake))
            within = sum(_polynomial(x, x).fill_diagonal_(0).sum().item() for x in (a, b))
            across = _polynomial(a, b).sum().item()
            total += within / (count * (count - 1)) - 2 * across / count**2
    return total / SUBSETS


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)  # [n, m]


def spread(values: Vectors, count: int) -> Vectors:
    """Return at most `count` rows, evenly spaced."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values)), dtype=np.int64)]


def nearest_of(vectors: Tensor, others: Tensor, rank: int = 1) -> tuple[Tensor, Tensor]:
    """Return the distance from each vector to its nearest neighbour in `others`, and that one's index, both [N].

    `rank` 2 means the second nearest: for vectors that are themselves in `others`.
    """
    parts = [torch.cdist(part, others).topk(rank, largest=False) for part in torch.split(vectors, _CHUNK)]
    distance = torch.cat([part.values[:, -1] for part in parts])
    return distance, torch.cat([part.indices[:, -1] for part in parts])


def _inside(vectors: Tensor, others: Tensor) -> float:
    """Return the share of vectors inside a ball around any of `others`, up to its third nearest neighbour."""
    radius = nearest_of(others, others, rank=NEIGHBOURS + 1)[0]  # [M]; the nearest is the vector itself
    inside = [(torch.cdist(part, others) <= radius).any(1) for part in torch.split(vectors, _CHUNK)]
    return torch.cat(inside).float().mean().item()


def _mean_distance(vectors: Tensor) -> float:
    half = len(vectors) // 2
    return cast(float, torch.cdist(vectors[:half], vectors[half:]).mean().item())

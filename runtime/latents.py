"""The latent vectors z of seeds, mixes and walks.

Each seed has its own NumPy `RandomState` stream: the same seed gives the same z in any batch, on any machine, in
any engine. NumPy has frozen this stream for good (NEP 19), and StyleGAN's tools use it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import MAX_SEED, Mix, Seed, Step, first_seed

DISTRIBUTIONS = ("normal", "uniform", "truncated")
LARGEST = 2.0  # magnitude in a truncated z
_CHECKED = 4096  # rows of z that are checked at a time
_MAX_TRUNCATION = 1e37  # a larger one makes z overflow float32
_LEAST_RESAMPLE = 0.01  # below, nearly all numbers are drawn again, hundreds of times


def check_truncation(truncation: float, resample: float | None, distribution: str) -> None:
    """Raise UsageError for a wrong `truncation` or `resample`, or for both together."""
    if not abs(truncation) <= _MAX_TRUNCATION:
        limit = "a finite number" if not math.isfinite(truncation) else "a smaller number"
        raise UsageError(f"`truncation` {truncation}: give {limit}, usually from 0 to 1")
    if resample is None:
        return
    if not _LEAST_RESAMPLE <= resample <= 100:
        raise UsageError(
            f"`resample` {resample:g}: give a number from {_LEAST_RESAMPLE} to 100, usually 0.5 to 2"
        )
    if truncation != 1:
        raise UsageError(f"`truncation` {truncation:g} and `resample` {resample:g}: give one of them")
    if distribution == "uniform":
        raise UsageError(
            f"`resample` {resample:g}: z of this engine is uniform; `truncation` does the same for it"
        )


def latents(
    seeds: Iterable[Seed],
    size: int,
    distribution: str = "normal",
    truncation: float = 1.0,
    resample: float | None = None,
) -> NDArray[np.float32]:
    """Return z, float32 [N, size], one row a seed, a mix or an image of a walk.

    normal:    RandomState(seed).randn(size)
    uniform:   2 * RandomState(seed).rand(size) - 1, in [-1, 1)
    truncated: as normal, but numbers beyond ±2 are drawn again, in their order, by randn(count) of the same stream,
               until there are none: the latents of BigGAN (Brock, Donahue and Simonyan 2019, arXiv:1809.11096)

    `resample` draws numbers beyond ±resample again, in the same way: BigGAN's truncation trick. `truncation` scales
    z instead: below 1, images are more typical and less varied, as with StyleGAN's --trunc. It is applied last.

    A mix is sum(w * z) / sqrt(sum(w * w)), which keeps the norm. A walk is `slerp`. Both are clipped to the range
    of the numbers that are mixed, if these have one: ±1, ±2 or ±resample.
    """
    if distribution not in DISTRIBUTIONS:
        raise UsageError(
            f"latent distribution {distribution!r} is unknown; known: {', '.join(DISTRIBUTIONS)}"
        )
    limit = LARGEST if distribution == "truncated" else math.inf
    limit = min(limit, resample or math.inf)
    stream = np.random.RandomState(0)  # reused: seeding it again takes 2 µs, a new one takes 200 µs

    def row(seed: int) -> NDArray[np.float64]:
        return _row(stream, seed, size, distribution, limit)

    most = 1.0 if distribution == "uniform" else limit
    rows = [row(seed) if isinstance(seed, int) else _clipped(_mixed(seed, row), most) for seed in seeds]
    z = np.stack(rows) if rows else np.empty((0, size))  # [N, size] float64
    return (z * truncation).astype(np.float32)


def check_z(z: ArrayLike, size: int) -> NDArray[np.float32]:
    """Return z as float32 [N, size], without a copy if it is that. Raises UsageError for anything else."""
    try:
        array = np.asarray(z)
    except ValueError as error:  # lists of different lengths
        raise UsageError(f"`z`: {error}; give numbers, float32 [N, {size}]") from error
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != size:
        shape = ", ".join(map(str, array.shape))
        one = f"; for one image, z[None] is [1, {size}]" if array.shape == (size,) else ""
        raise UsageError(
            f"`z` is {array.dtype} [{shape}]: this engine takes numbers, float32 [N, {size}]{one}"
        )
    for start in range(
        0, len(array), _CHECKED
    ):  # in pieces: the array may be a file that is larger than memory
        with np.errstate(over="ignore"):
            part = array[start : start + _CHECKED].astype(np.float32)
        if not (finite := np.isfinite(part).all(axis=1)).all():
            raise UsageError(
                f"`z`: row {start + int(np.argmin(finite))} has NaN, infinity or a number beyond float32"
            )
    return array.astype(np.float32, copy=False) if not isinstance(array, np.memmap) else array


def rows_of(z: NDArray[Any], rows: Sequence[Seed]) -> NDArray[np.float32]:
    """Return these rows of z, float32 [n, latent]."""
    return np.ascontiguousarray(z[[first_seed(row) for row in rows]], np.float32)


def moved(z: NDArray[np.float32], shift: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Return z + shift, float32 [N, latent]. Raises UsageError for a sum beyond float32."""
    with np.errstate(over="ignore"):
        total = z + shift
    return check_z(total, z.shape[1]) if np.any(shift) else total  # most runs move nothing


def slerp(start: NDArray[np.float64], end: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Return the point at `part`, from 0 to 1, of the great circle from z `start` to z `end`, [L] each.

    Norms that differ change along with it. Parallel vectors, which have no such circle, are joined by a line.
    """
    norms = float(np.linalg.norm(start) * np.linalg.norm(end))
    cosine = float(np.dot(start, end)) / norms if norms else 1.0
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    sine = math.sin(angle)
    if sine < 1e-6:
        return start * (1 - part) + end * part
    return start * (math.sin((1 - part) * angle) / sine) + end * (math.sin(part * angle) / sine)


def _mixed(seed: Seed, row: Callable[[int], NDArray[np.float64]]) -> NDArray[np.float64]:
    if isinstance(seed, Step):
        part = (seed.number - 1) / (seed.count - 1)
        return slerp(_mixed(seed.start, row), _mixed(seed.end, row), part)
    if not isinstance(seed, Mix):
        assert isinstance(seed, int), "a row of a file has its z there"
        return row(seed)
    total: NDArray[np.float64] = sum(row(each) * weight for each, weight in seed.terms)  # type: ignore[assignment]
    return total / math.sqrt(sum(weight * weight for _, weight in seed.terms))


def _clipped(z: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    return z if most == math.inf else np.clip(z, -most, most)


def _row(
    stream: np.random.RandomState, seed: int, size: int, distribution: str, limit: float
) -> NDArray[np.float64]:
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed {seed} is outside 0..{MAX_SEED}")
    stream.seed(seed)  # equals a new RandomState(seed): it also drops the cached normal
    if distribution == "uniform":
        return 2 * stream.rand(size) - 1
    z = stream.randn(size)
    if limit != math.inf:
        beyond = np.flatnonzero(np.abs(z) > limit)
        while len(beyond):
            z[beyond] = stream.randn(len(beyond))
            beyond = beyond[np.abs(z[beyond]) > limit]
    return z

"""Parse seeds, and compute the latent vector and the class of each.

Each seed has its own NumPy `RandomState` stream: the same seed gives the same z in any batch, on any machine, in
any engine. NumPy has frozen this stream for good (NEP 19), and StyleGAN's tools use it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import index

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import UsageError

MAX_SEED = 2**32 - 1
DISTRIBUTIONS = ("normal", "uniform", "truncated")
_SHOWN = 20  # classes in an error message
LARGEST = 2.0  # magnitude in a truncated z


@dataclass(frozen=True)
class Seeds:
    """Seeds in the order in which they were given, stored as ranges, not as a list."""

    ranges: tuple[range, ...]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self.ranges)

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def part(self, start: int, count: int) -> Seeds:
        """Return up to `count` seeds, from position `start` on."""
        parts = []
        for each in self.ranges:
            piece = each[max(start, 0) : max(start + count, 0)]
            if piece:
                parts.append(piece)
            start -= len(each)
        return Seeds(tuple(parts))

    def __getitem__(self, index: int) -> int:
        for each in self.ranges:
            if index < len(each):
                return each[index]
            index -= len(each)
        raise IndexError(index)


def whole_numbers(seeds: object) -> Iterable[int]:
    """Return an iterable that checks each seed when it is read.

    Raises UsageError for anything but an iterable; the returned iterable raises it for anything but whole numbers.
    """
    if isinstance(seeds, (Seeds, range)):
        return seeds
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable) or getattr(seeds, "ndim", 1) != 1:
        raise UsageError(f"seeds {seeds!r}: seeds are whole numbers, as in range(64) or [0, 5]")
    return map(_whole_number, seeds)


def _whole_number(seed: object) -> int:
    try:
        return index(seed)  # type: ignore[arg-type]  # also NumPy's
    except TypeError:
        raise UsageError(f"seed {seed!r}: seeds are whole numbers") from None


def parse_seeds(text: str) -> Seeds:
    """Parse `0,1,4-6` (ends included) into seeds 0, 1, 4, 5, 6.

    Raises UsageError for anything but whole numbers and rising ranges within 0..2**32-1.
    """
    return Seeds(tuple(_parse_part(part.strip(), text) for part in text.split(",")))


def _parse_part(part: str, text: str) -> range:
    first, dash, last = part.partition("-")
    # isdecimal alone would accept digits of other scripts
    if not all(
        number.isascii() and number.isdecimal() and len(number) < 20
        for number in ((first, last) if dash else (first,))
    ):
        raise UsageError(
            f"`seeds` {text!r}: {part!r} is not a seed; write whole numbers and ranges, as in 0,1,4-6"
        )
    low, high = int(first), int(last if dash else first)
    if low > high:
        raise UsageError(f"`seeds` {text!r}: the range {part!r} runs backwards; write {high}-{low}")
    if high > MAX_SEED:
        raise UsageError(f"`seeds` {text!r}: {high} is above the largest seed, {MAX_SEED}")
    return range(low, high + 1)


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `3/16`, the third of sixteen parts, into (3, 16)."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})", text)
    if not match or int(match[1]) > int(match[2]):
        raise UsageError(f"`shard` {text}: give the part and the number of parts, counted from 1, as in 3/16")
    return int(match[1]), int(match[2])


def shard(seeds: Seeds, index: int, count: int) -> Seeds:
    """Return the seeds with remainder `index - 1` modulo `count`, in their order.

    So shards 1 to `count` are disjoint and hold all seeds, a seed is in the same shard of any list, and the shards
    of a range differ in size by one at most.
    """
    parts = (range(part.start + (index - 1 - part.start) % count, part.stop, count) for part in seeds.ranges)
    return Seeds(tuple(part for part in parts if part))


def latents(
    seeds: Iterable[int], size: int, distribution: str = "normal", truncation: float = 1.0
) -> NDArray[np.float32]:
    """Return z, float32 [N, size], one row a seed.

    normal:    RandomState(seed).randn(size)
    uniform:   2 * RandomState(seed).rand(size) - 1, in [-1, 1)
    truncated: as normal, but numbers beyond ±2 are drawn again, in their order, by randn(count) of the same stream,
               until there are none: the latents of BigGAN (Brock, Donahue and Simonyan 2019, arXiv:1809.11096)

    `truncation` scales z: below 1, images are more typical and less varied, as with StyleGAN's --trunc. It is
    applied last, to any distribution.
    """
    if distribution not in DISTRIBUTIONS:
        raise UsageError(
            f"latent distribution {distribution!r} is unknown; known: {', '.join(DISTRIBUTIONS)}"
        )
    stream = np.random.RandomState(0)  # reused: seeding it again takes 2 µs, a new one takes 200 µs
    rows = [_row(stream, seed, size, distribution) for seed in seeds]
    z = np.stack(rows) if rows else np.empty((0, size))  # [N, size] float64
    return (z * truncation).astype(np.float32)


def class_number(label: int | str | None, names: tuple[str, ...]) -> int | None:
    """Return the number of a class from its number or its name, upper or lower case.

    Raises UsageError, which lists the names, for an unknown name.
    """
    if not isinstance(label, str):
        return label
    pairs = list(enumerate(names))[::-1]  # the first of equal names wins
    numbers = {name: number for number, name in pairs}
    folded = {name.casefold(): number for number, name in pairs}
    if (found := numbers.get(label, folded.get(label.casefold()))) is not None:
        return found
    if label.isascii() and label.isdecimal() and len(label) < 20:
        return int(label)
    if not names:
        raise UsageError(f"`label` {label}: this engine does not name its classes; give a number, from 0")
    from difflib import get_close_matches  # here, so that every command starts faster

    near = get_close_matches(label.casefold(), folded, 1)
    hint = f"did you mean {names[folded[near[0]]]}? " if near else ""
    raise UsageError(f"`label` {label}: {hint}the classes of this engine are {_named(names)}")


def _named(names: tuple[str, ...]) -> str:
    """Return the classes as text: "0 cat, 1 dog"."""
    shown = [f"{number} {name}" for number, name in enumerate(names[:_SHOWN])]
    if len(names) > _SHOWN:
        shown.append(f"... {len(names) - 1} {names[-1]}")
    return ", ".join(shown)


def labels(
    seeds: Iterable[int], classes: int | None, label: int | None = None, names: tuple[str, ...] = ()
) -> NDArray[np.int64]:
    """Return the class of each seed's image, int64 [N]: `label` for all, or `seed % classes`.

    `classes` is None if the number of classes is unknown; then `label` is required. `names` are for error messages.
    Raises UsageError for a class that the engine does not have.
    """
    if label is None and classes is None:
        raise UsageError("the engine does not say how many classes it has: choose one with `label`")
    if label is not None and not 0 <= label < (MAX_SEED if classes is None else classes):
        known = "counted from 0" if classes is None else _named(names) if names else f"0 to {classes - 1}"
        raise UsageError(f"`label` {label}: the classes of this engine are {known}")
    return np.array([seed % classes if label is None and classes else label for seed in seeds], np.int64)


def _row(stream: np.random.RandomState, seed: int, size: int, distribution: str) -> NDArray[np.float64]:
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed {seed} is outside 0..{MAX_SEED}")
    stream.seed(seed)  # equals a new RandomState(seed): it also drops the cached normal
    if distribution == "uniform":
        return 2 * stream.rand(size) - 1
    z = stream.randn(size)
    if distribution == "truncated":
        beyond = np.flatnonzero(np.abs(z) > LARGEST)
        while len(beyond):
            z[beyond] = stream.randn(len(beyond))
            beyond = beyond[np.abs(z[beyond]) > LARGEST]
    return z

"""The grammar of seeds: `0,1,4-6`, mixes `3*0.7+9*0.3`, walks `3~9`. Without NumPy; `latents.py` computes z.

    seeds  = part {"," part}
    part   = number ["-" number]              a seed, or a range with both ends
           | blend                            one image: z = sum(w * z) / sqrt(sum(w * w))
           | blend "~" blend {"~" blend}      a walk: `steps` images a leg, on a great circle, both ends included
           | blend "~" blend "@" k "of" n     one image of a walk, the k-th of n
    blend  = term {"+" term}
    term   = number [("*" | "x") weight]      x, because a shell expands *

So `3*2+9*-1` is a mix too. A seed that occurs twice in a blend is there once, with the sum of its weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from operator import index
from typing import TypeAlias

from gantool.runtime.errors import UsageError

MAX_SEED = 2**32 - 1
MAX_STEPS = 1_000_000
STEPS = 8  # images a leg of a walk
_MAX_TERMS = 8
_LONGEST = 120  # characters of a seed in the name of a file
_DIGITS = 9  # of a weight, after the point
_TERM = re.compile(r"(\d{1,19})(?:[*x](-?\d{1,6}(?:\.\d{1,9})?))?", re.ASCII)
_PLACE = re.compile(r"(.+)@(\d{1,9})of(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Mix:
    """A blend of several seeds, or of one with a negative weight."""

    terms: tuple[tuple[int, float], ...]  # (seed, weight); each seed once, no weight is 0

    def __str__(self) -> str:
        return "+".join(
            str(seed) if weight == 1 else f"{seed}*{_number(weight)}" for seed, weight in self.terms
        )


Blend: TypeAlias = "int | Mix"


@dataclass(frozen=True)
class Step:
    """One image of a walk from `start` (1) to `end` (`count`)."""

    start: Blend
    end: Blend
    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.start}~{self.end}@{self.number:0{len(str(self.count))}d}of{self.count}"


@dataclass(frozen=True)
class Row:
    """A row of a file of z: an image that no seed makes."""

    number: int

    def __str__(self) -> str:
        return f"z{self.number:06d}"


Seed: TypeAlias = "int | Mix | Step | Row"


@dataclass(frozen=True)
class Series(Sequence[Seed]):
    """Seeds that are made from numbers as they are needed."""

    make: Callable[[int], Seed]
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int | slice) -> Seed | Series:  # type: ignore[override]
        found = self.numbers[index]
        return Series(self.make, found) if isinstance(found, range) else self.make(found)


@dataclass(frozen=True)
class Seeds:
    """Seeds in the order in which they were given, stored as ranges and series, not as a list."""

    parts: tuple[Sequence[Seed], ...]

    def __iter__(self) -> Iterator[Seed]:
        return chain.from_iterable(self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def part(self, start: int, count: int) -> Seeds:
        """Return up to `count` seeds, from position `start` on."""
        parts = []
        for each in self.parts:
            piece = each[max(start, 0) : max(start + count, 0)]
            if piece:
                parts.append(piece)
            start -= len(each)
        return Seeds(tuple(parts))

    def __getitem__(self, index: int) -> Seed:
        for each in self.parts:
            if index < len(each):
                return each[index]
            index -= len(each)
        raise IndexError(index)


def as_seeds(seeds: object) -> Iterable[Seed]:
    """Return the seeds that a program gives: whole numbers, mixes, or text in the grammar of this file.

    Raises UsageError for anything but an iterable; the returned iterable raises it for what is not a seed.
    """
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if isinstance(seeds, (Seeds, range)):
        return seeds
    if isinstance(seeds, bytes) or not isinstance(seeds, Iterable) or getattr(seeds, "ndim", 1) != 1:
        raise UsageError(f"seeds {seeds!r}: seeds are whole numbers, as in range(64) or [0, 5]")
    return map(_as_seed, seeds)


def _as_seed(seed: object) -> Seed:
    if isinstance(seed, str):
        return parse_seed(seed)
    if isinstance(seed, (Mix, Step)):
        return seed
    try:
        return index(seed)  # type: ignore[arg-type]  # also NumPy's
    except TypeError:
        raise UsageError(f"seed {seed!r}: seeds are whole numbers, or mixes as in '1+2'") from None


def parse_seeds(text: str, steps: int | None = None, option: str = "seeds") -> Seeds:
    """Parse `0,1,4-6` (ends included) into seeds 0, 1, 4, 5, 6, and mixes and walks as the grammar says.

    `steps` is the number of images of a leg of a walk; None is STEPS. `option` is for messages. Raises UsageError
    for anything else, for a seed above 2**32 - 1, and for `steps` without a walk.
    """
    parts: list[Sequence[Seed]] = []
    try:
        for each in text.split(","):
            parts += _parse_part(each.strip(), steps or STEPS)
    except ValueError as error:
        raise UsageError(f"`{option}` {text!r}: {error}") from None
    if steps is not None:
        if "~" not in text:
            raise UsageError(f"`steps` {steps} is for walks, as in 3~9: `seeds` {text!r} has none")
        if not 2 <= steps <= MAX_STEPS:
            raise UsageError(f"`steps` {steps}: give a whole number from 2 to {MAX_STEPS:,}")
    return Seeds(tuple(parts))


def parse_seed(text: str) -> Seed:
    """Parse one image, as in `5`, `1+2` or `3~9@2of8`: what `str` of a seed returns. Raises UsageError."""
    found = parse_seeds(text)
    if len(found) != 1:
        raise UsageError(f"`seeds` {text!r}: {len(found):,} images, expected one")
    return found[0]


def _parse_part(part: str, steps: int) -> Iterator[Sequence[Seed]]:
    """Yield the seeds of one part. Raises ValueError."""
    if "~" in part:
        place = _PLACE.fullmatch(part)
        ends = [_parse_blend(end) for end in (place[1] if place else part).split("~")]
        if place:
            number, count = int(place[2]), int(place[3])
            if len(ends) != 2 or not (1 <= number <= count and 2 <= count <= MAX_STEPS):
                raise ValueError(f"{part!r} is not an image of a walk; write it as in 3~9@2of8")
            yield (check_length(Step(ends[0], ends[1], number, count)),)
            return
        for leg, (start, end) in enumerate(pairwise(ends)):
            check_length(Step(start, end, steps, steps))
            # the end of a leg is the start of the next one
            yield Series(partial(_step, start, end, steps), range(2 if leg else 1, steps + 1))
    elif re.search(r"[+*x]", part):
        yield (check_length(_parse_blend(part)),)
    else:
        yield _parse_range(part)


def _step(start: Blend, end: Blend, count: int, number: int) -> Seed:
    return Step(start, end, number, count)


def _parse_range(part: str) -> range:
    first, dash, last = part.partition("-")
    # isdecimal alone would accept digits of other scripts
    if not all(
        number.isascii() and number.isdecimal() and len(number) < 20
        for number in ((first, last) if dash else (first,))
    ):
        raise ValueError(
            f"{part!r} is not a seed; write whole numbers and ranges, as in 0,1,4-6, mixes, as in 3*0.7+9*0.3, "
            "or walks, as in 3~9"
        )
    low, high = int(first), int(last if dash else first)
    if low > high:
        raise ValueError(f"the range {part!r} runs backwards; write {high}-{low}")
    _check_largest(high)
    return range(low, high + 1)


def _parse_blend(text: str) -> Blend:
    terms = []
    for each in text.split("+"):
        match = _TERM.fullmatch(each.strip())
        if not match:
            raise ValueError(
                f"{each.strip()!r} is not a seed, with or without a weight; write mixes as in 3*0.7+9*0.3"
            )
        _check_largest(int(match[1]))
        terms.append((int(match[1]), float(match[2] or 1)))
        if match[2] and "+" not in text and terms[0][1] > 0:  # 0x10 may be meant as a hexadecimal number
            raise ValueError(f"{text!r}: the weight of a single seed changes nothing; write {terms[0][0]}")
    return blend(terms)


def blend(terms: Iterable[tuple[int, float]]) -> Blend:
    """Return the mix of seeds with their weights; a seed alone if only one is left. Raises ValueError for none."""
    weights: dict[int, float] = {}
    for seed, weight in terms:
        weights[seed] = round(
            weights.get(seed, 0.0) + weight, _DIGITS
        )  # without it, 0.1 + 0.2 - 0.3 is not 0
    left = tuple((seed, weight) for seed, weight in weights.items() if weight)
    if not left:
        raise ValueError("a mix without weight has no direction; give weights that are not 0")
    if len(left) > _MAX_TERMS:
        raise ValueError(f"a mix of {len(left)} seeds; at most {_MAX_TERMS} can be mixed")
    return left[0][0] if len(left) == 1 and left[0][1] > 0 else Mix(left)


def _check_largest(seed: int) -> None:
    if seed > MAX_SEED:
        raise ValueError(f"{seed} is above the largest seed, {MAX_SEED}")


def check_length(seed: Seed) -> Seed:
    """Return a seed. Raises ValueError if it is too long for the name of a file."""
    if len(str(seed)) > _LONGEST:
        raise ValueError(
            "a mix is too long for the name of a file; give fewer seeds, or weights of fewer digits"
        )
    return seed


def _number(weight: float) -> str:
    """Return a number without an exponent: "0.7", "2"."""
    return f"{weight:.{_DIGITS}f}".rstrip("0").rstrip(".")


def seed_name(seed: Seed) -> str:
    """Return `seed0004`, `seed3x0.7+9x0.3`, `seed3~9@2of8`: a name that is safe for files and stays the same."""
    if isinstance(seed, Row):
        return str(seed)
    return f"seed{seed:04d}" if isinstance(seed, int) else f"seed{seed}".replace("*", "x")


def first_seed(seed: Seed) -> int:
    """Return the seed that gives a mix or a walk its class: the first one in it; the number of a row."""
    while isinstance(seed, Step):
        seed = seed.start
    if isinstance(seed, Row):
        return seed.number
    return seed if isinstance(seed, int) else seed.terms[0][0]

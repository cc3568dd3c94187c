"""Variations of one image: its seed or mix, and mixes of it with other seeds."""

from __future__ import annotations

import math
from functools import partial

from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import (
    MAX_SEED,
    Blend,
    Row,
    Seed,
    Seeds,
    Series,
    Step,
    blend,
    check_length,
    parse_seeds,
)

SPREAD, COUNT = 0.3, 64


def near(text: str, spread: float = SPREAD, count: int = COUNT) -> Seeds:
    """Return one seed or mix, then `count - 1` variations of it.

    A variation lies `spread` * 90° from it on the great circle towards a seed: it is the mix of both with cosine
    and sine as weights, of four digits each. The seeds are 0, 1, 2 and so on, without those of `text` itself.
    """
    centers = parse_seeds(text, option="near")
    if len(centers) != 1 or isinstance(center := centers[0], (Step, Row)):
        raise UsageError(f"`near` {text}: give one seed, as in 42, or one mix, as in 1+2")
    if not 0.001 <= spread <= 1:
        raise UsageError(f"`spread` {spread:g}: give a number from 0.001 to 1")
    if not 1 <= count <= MAX_SEED:
        raise UsageError(f"`count` {count}: give a whole number from 1 to {MAX_SEED}")
    variations = Series(partial(_variation, center, spread), range(count - 1))
    try:
        if count > 1:
            check_length(_variation(center, spread, count - 2))  # the longest name
    except ValueError as error:
        raise UsageError(f"`near` {text}: with one seed more, {error}") from None
    return Seeds(((center,), variations))


def _variation(center: Blend, spread: float, number: int) -> Seed:
    terms = ((center, 1.0),) if isinstance(center, int) else center.terms
    for seed in sorted(seed for seed, _ in terms):
        number += number >= seed
    norm, angle = math.sqrt(sum(weight**2 for _, weight in terms)), spread * math.pi / 2
    scale = math.cos(angle) / norm
    mixed = [(seed, float(f"{weight * scale:.4g}")) for seed, weight in terms]
    return blend([*mixed, (number, float(f"{math.sin(angle):.4g}"))])

"""Variations of one image: its seed or mix, and mixes of it with other seeds."""

from __future__ import annotations

import math
from functools import partial

from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import MAX_SEED, Blend, Row, Seed, Seeds, Series, Step, blend, parse_seed

SPREAD, COUNT = 0.3, 64


def near(text: str, spread: float = SPREAD, count: int = COUNT) -> Seeds:
    """Return one seed or mix, then `count - 1` variations of it.

    A variation lies `spread` * 90° from it on the great circle towards a seed: it is the mix of both with cosine
    and sine as weights, of four digits each. The seeds are 0, 1, 2 and so on, without those of `text` itself.
    """
    center = parse_seed(text, "near")
    if isinstance(center, (Step, Row)):
        raise UsageError(f"`near` {text}: give a seed or a mix of seeds")
    if not 0.001 <= spread <= 1:
        raise UsageError(f"`spread` {spread:g}: give a number from 0.001 to 1")
    if not 1 <= count <= MAX_SEED:
        raise UsageError(f"`count` {count}: give a whole number from 1 to {MAX_SEED}")
    return Seeds(((center,), Series(partial(_variation, center, spread), range(count - 1))))


def _variation(center: Blend, spread: float, number: int) -> Seed:
    terms = ((center, 1.0),) if isinstance(center, int) else center.terms
    for seed in sorted(seed for seed, _ in terms):
        number += number >= seed
    norm, angle = math.sqrt(sum(weight**2 for _, weight in terms)), spread * math.pi / 2
    scale = math.cos(angle) / norm
    mixed = [(seed, float(f"{weight * scale:.4g}")) for seed, weight in terms]
    return blend([*mixed, (number, float(f"{math.sin(angle):.4g}"))])

"""Share seeds among machines: shard 3/16 is the third of sixteen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import Row, Seed, Seeds, Series, Step


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `3/16`, the third of sixteen parts, into (3, 16)."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})", text)
    if not match or int(match[1]) > int(match[2]):
        raise UsageError(f"`shard` {text}: give the part and the number of parts, counted from 1, as in 3/16")
    return int(match[1]), int(match[2])


def shard(seeds: Seeds, index: int, count: int) -> Seeds:
    """Return the seeds with remainder `index - 1` modulo `count`, in their order.

    So shards 1 to `count` are disjoint and hold all seeds, a seed is in the same shard of any list, and the shards
    of a range differ in size by one at most. The number of an image of a walk is its place in it, that of a mix is
    the sum of its seeds.
    """
    parts = (_shard(part, index - 1, count) for part in seeds.parts)
    return Seeds(tuple(part for part in parts if part))


def _shard(part: Sequence[Seed], remainder: int, count: int) -> Sequence[Seed]:
    if isinstance(part, range):
        return range(part.start + (remainder - part.start) % count, part.stop, count)
    if isinstance(part, Series):
        numbers = cast("range", _shard(part.numbers, remainder, count))
        return Series(part.make, numbers)
    return [seed for seed in part if _key(seed) % count == remainder]


def _key(seed: Seed) -> int:
    if isinstance(seed, (Step, Row)):
        return seed.number
    return seed if isinstance(seed, int) else sum(each for each, _ in seed.terms)

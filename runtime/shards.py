"""Share seeds among machines: shard 3/16 is the third of sixteen."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import Row, Seed, Seeds, Series, Step

_PART = re.compile(r"images-\d+of(\d+)(?:-\d{6,}\.tar|\.npy|\.npy\.part)")  # the number of parts


def parse_shard(text: str) -> tuple[int, int]:
    """Parse `3/16`, the third of sixteen parts, into (3, 16)."""
    match = re.fullmatch(r"(0|[1-9][0-9]{0,8})/([1-9][0-9]{0,8})", text)
    if not match or int(match[1]) > int(match[2]):
        raise UsageError(f"`shard` {text}: give the part and the number of parts, counted from 1, as in 3/16")
    if int(match[1]) == 0:
        raise UsageError(
            f"`shard` {text}: parts are counted from 1; add 1 to an index that counts from 0, as in Kubernetes"
        )
    return int(match[1]), int(match[2])


def part_name(shard: str | None) -> str:
    """Return `-3of16` for shard 3/16, a part of the names of its files; "" for no shard."""
    return "" if shard is None else "-{}of{}".format(*parse_shard(shard))


def of_other_count(folder: Path, part: str) -> Path | None:
    """Return an array or a tar in `folder` of another number of parts than `part`; None if there is none.

    Together with the files of this run, it would hold images twice.
    """
    if not part:
        return None
    count = part.rpartition("of")[2]
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PART.fullmatch(entry.name)
            if match and match[1] != count:
                return folder / entry.name
    return None


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

"""The grammar of seeds, mixes and walks, as users, servers' clients and marks give them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from gantool.runtime.latents import latents
from gantool.runtime.seeds import parse_seed, parse_seeds, seed_name
from gantool.runtime.shards import shard

_READ = 50  # seeds of a range of billions


def seeds() -> Iterator[bytes]:
    for text in (
        "0,1,4-6",
        "3*0.7+9*0.3",
        "3x2+9x-1",
        "3~9",
        "1+2~7~0",
        "3~9@2of8",
        "0-4294967295",
        " 5 , 6",
    ):
        yield text.encode()


def run(data: bytes) -> None:
    found = parse_seeds(data.decode("utf-8", "replace"))
    assert len(found) <= 2**32 * (1 + data.count(b",")) + 8 * data.count(b"~")
    for seed in islice(found, _READ):
        assert parse_seed(str(seed)) == seed
        name = seed_name(seed)
        assert name.isascii()
        assert "/" not in name
        assert len(name) < 200
        assert np.isfinite(latents([seed], 3)).all()
    some = islice(shard(found, 2, 3), _READ)
    assert all(seed % 3 == 1 for seed in some if isinstance(seed, int))

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantool.runtime.errors import UsageError
from gantool.runtime.items import Items
from gantool.runtime.latents import DISTRIBUTIONS, latents
from gantool.runtime.outputs.base import Target
from gantool.runtime.outputs.webdataset import split
from gantool.runtime.seeds import MAX_SEED, Seeds, as_seeds, parse_seeds
from gantool.runtime.shards import parse_shard, shard

seeds = st.integers(0, MAX_SEED)
ranges = st.tuples(seeds, st.integers(0, 50)).map(lambda pair: (pair[0], min(pair[0] + pair[1], MAX_SEED)))


def test_parse_seeds_as_stylegan_writes_them() -> None:
    assert list(parse_seeds("0,1,4-6")) == [0, 1, 4, 5, 6]


@given(st.lists(ranges, min_size=1, max_size=5))
def test_parse_seeds_gives_back_what_was_written(parts: list[tuple[int, int]]) -> None:
    text = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
    parsed = parse_seeds(text)
    expected = [seed for low, high in parts for seed in range(low, high + 1)]
    assert list(parsed) == expected
    assert list(parsed) == expected  # it can be walked through again
    assert len(parsed) == len(expected)


def test_a_large_range_takes_no_memory() -> None:
    assert len(parse_seeds(f"0-{MAX_SEED}")) == MAX_SEED + 1


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "5-2", "1,,2", "1-", "1.5", "0x1", "1-2-3", "²", "٣", f"{2**32}"]
)
def test_parse_seeds_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="`seeds`"):
        parse_seeds(text)


@given(st.lists(seeds, max_size=8), st.integers(1, 40), st.sampled_from(DISTRIBUTIONS))
def test_z_of_a_seed_is_the_same_in_any_batch(asked: list[int], size: int, distribution: str) -> None:
    together = latents(asked, size, distribution)
    assert together.shape == (len(asked), size)
    assert together.dtype == np.float32
    for seed, row in zip(asked, together, strict=True):
        np.testing.assert_array_equal(latents([seed], size, distribution)[0], row)


def test_z_is_the_stream_that_stylegan_uses() -> None:
    np.testing.assert_array_equal(
        latents([42], 5)[0], np.random.RandomState(42).randn(1, 5)[0].astype(np.float32)
    )
    # written down once, so that no change of NumPy goes by unseen
    np.testing.assert_allclose(latents([0], 3)[0], [1.7640524, 0.40015721, 0.97873801], rtol=1e-6)
    np.testing.assert_allclose(latents([0], 3, "uniform")[0], [0.09762701, 0.43037873, 0.20552675], rtol=1e-6)


@given(seeds, st.integers(1, 300))
def test_a_truncated_z_is_drawn_again_until_it_is_inside(seed: int, size: int) -> None:
    """Against the definition, written plainly."""
    stream = np.random.RandomState(seed)
    z = stream.randn(size)
    while (beyond := np.abs(z) > 2).any():
        z[beyond] = stream.randn(beyond.sum())
    found = latents([seed], size, "truncated")[0]
    np.testing.assert_array_equal(found, z.astype(np.float32))
    assert np.abs(found).max() <= 2
    whole = latents([seed], size)[0]
    inside = np.abs(whole) <= 2
    np.testing.assert_array_equal(found[inside], whole[inside])


def test_truncated_z_has_the_spread_of_its_distribution() -> None:
    z = latents(range(2000), 100, "truncated")
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=0.01), pytest.approx(0.8796, abs=0.005))
    # the third and the twentieth were 2.24 and -2.55 at first; written down once
    np.testing.assert_allclose(
        latents([0], 25, "truncated")[0, [0, 3, 20]], [1.7640524, -1.4543657, 0.04575852], rtol=1e-6
    )


def test_truncation_scales_towards_the_mean() -> None:
    for distribution in DISTRIBUTIONS:
        z = latents([7], 9, distribution)
        np.testing.assert_allclose(latents([7], 9, distribution, truncation=0.5), z / 2, rtol=1e-6)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_latents_refuse_a_seed_out_of_range(seed: int) -> None:
    with pytest.raises(UsageError, match=str(MAX_SEED)):
        latents([seed], 3)


@given(st.lists(ranges, min_size=1, max_size=5), st.integers(1, 20), st.randoms(use_true_random=False))
def test_shards_are_disjoint_and_complete_in_any_order(
    parts: list[tuple[int, int]], count: int, random: Random
) -> None:
    seeds = Seeds(tuple(range(low, high + 1) for low, high in parts))
    shards = [shard(seeds, index, count) for index in range(1, count + 1)]
    together = [seed for part in shards for seed in part]
    assert sorted(map(str, together)) == sorted(map(str, seeds))
    assert sum(map(len, shards)) == len(seeds)
    for one in range(count):
        for other in range(one):
            assert not set(shards[one]) & set(shards[other])
    # the same seeds in another order are spread as before
    shuffled = list(seeds.parts)
    random.shuffle(shuffled)
    for index, part in enumerate(shards, 1):
        assert set(shard(Seeds(tuple(shuffled)), index, count)) == set(part)


@given(ranges, st.integers(1, 20))
def test_shards_of_a_range_are_equally_large(part: tuple[int, int], count: int) -> None:
    seeds = Seeds((range(part[0], part[1] + 1),))
    sizes = [len(shard(seeds, index, count)) for index in range(1, count + 1)]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_of_all_seeds_takes_no_memory() -> None:
    assert len(shard(parse_seeds(f"0-{MAX_SEED}"), 3, 16)) == 2**28


@pytest.mark.parametrize("text", ["", "3", "0/0", "5/4", "1/0", "a/b", "1/2/3", "-1/2", "1.0/2", "01/2"])
def test_parse_shard_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="as in 3/16"):
        parse_shard(text)


def test_a_shard_counted_from_0_is_told_to_add_1() -> None:
    with pytest.raises(
        UsageError, match="0/16: parts are counted from 1; add 1 to an index that counts from 0"
    ):
        parse_shard("0/16")


@pytest.mark.parametrize(
    "given", ["abc", b"ab", 5, [1.5], np.ones(3), np.ones((2, 2), int), ["a"], None, np.array(5), [["1"]]]
)
def test_what_a_program_gives_that_is_no_seeds(given: object) -> None:
    with pytest.raises(UsageError, match="seeds are whole numbers|is not a seed"):
        list(as_seeds(given))


@pytest.mark.parametrize(
    "given", [[1, 2], range(1, 3), (1, 2), np.array([1, 2]), iter([1, 2]), parse_seeds("1-2")]
)
def test_what_a_program_gives_that_is_seeds(given: object) -> None:
    assert list(as_seeds(given)) == [1, 2]


@given(st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_seeds(start: int, count: int) -> None:
    seeds = shard(parse_seeds("3,5-9,2,40-60"), 1, 2)
    assert list(seeds.part(start, count)) == list(seeds)[start : start + count]


def test_shards_of_all_seeds_take_no_memory() -> None:
    items = Items(parse_seeds("0-4294967294"))
    (one,) = split(Target(Path(), "tar", shard_size=2**32 - 1), items)
    assert (len(one.items), one.items[7].seed) == (2**32 - 1, 7)

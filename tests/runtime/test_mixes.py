"""Mixes of seeds, walks between them and variations: their grammar, names and z."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantool.runtime.errors import UsageError
from gantool.runtime.latents import DISTRIBUTIONS, latents, slerp
from gantool.runtime.seeds import (
    MAX_SEED,
    Blend,
    Mix,
    Seed,
    Step,
    blend,
    first_seed,
    parse_seed,
    parse_seeds,
    seed_name,
)
from gantool.runtime.shards import shard
from gantool.runtime.variations import near

SIZE = 32
seeds = st.integers(0, MAX_SEED)
weights = st.integers(-9999, 9999).filter(bool).map(lambda number: number / 1000)
terms = st.dictionaries(seeds, weights, min_size=1, max_size=4).map(lambda found: tuple(found.items()))
blends: st.SearchStrategy[Blend] = terms.map(blend)
few_terms = st.dictionaries(seeds, weights, min_size=1, max_size=2)
ends: st.SearchStrategy[Blend] = few_terms.map(
    lambda found: blend(found.items())
)  # a name has 120 characters
steps = st.tuples(ends, ends, st.integers(2, 2000), st.data()).map(
    lambda drawn: Step(drawn[0], drawn[1], drawn[3].draw(st.integers(1, drawn[2])), drawn[2])
)
anything: st.SearchStrategy[Seed] = st.one_of(seeds, blends, steps)


@given(anything)
def test_text_and_name_of_a_seed_parse_back_to_it(seed: Seed) -> None:
    assert parse_seed(str(seed)) == seed
    name = seed_name(seed)
    assert re.fullmatch(r"seed[0-9x.+~@of-]+", name)  # safe on every file system
    assert parse_seed(name.removeprefix("seed")) == seed


@given(st.lists(anything, min_size=1, max_size=4))
def test_a_list_is_parsed_in_its_order(asked: list[Seed]) -> None:
    assert list(parse_seeds(",".join(map(str, asked)))) == asked


@given(st.lists(anything, min_size=2, max_size=5, unique=True))
def test_different_images_have_different_names(asked: list[Seed]) -> None:
    assert len({seed_name(seed) for seed in asked}) == len(asked)


def test_mixes_as_people_write_them() -> None:
    assert list(parse_seeds("1+2, 3*0.7+9*0.3 ,3x0.7+9x0.3,5")) == [
        Mix(((1, 1), (2, 1))),
        *[Mix(((3, 0.7), (9, 0.3)))] * 2,
        5,
    ]
    assert seed_name(parse_seed("3*0.70+9*0.3")) == "seed3x0.7+9x0.3"
    assert parse_seed("3+3") == 3
    assert parse_seed("3+9+3*0.5") == Mix(((3, 1.5), (9, 1)))
    assert parse_seed("9+3*-1") == Mix(((9, 1), (3, -1)))
    assert parse_seed("3*0.1+9+3*0.2+3*-0.3") == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1+", "'' is not a seed"),
        ("1+a", "'a' is not a seed"),
        ("1*", "is not a seed"),
        ("1*0.5", "the weight of a single seed changes nothing; write 1"),
        ("0x10", "the weight of a single seed changes nothing; write 0"),
        ("1+2*1e3", "is not a seed"),
        ("1*0+2*0", "give weights that are not 0"),
        ("1+2*-1+2+1*-1", "give weights that are not 0"),
        ("1-3+2", "is not a seed"),
        (f"1+{2**32}", "above the largest seed"),
        ("1+2+3+4+5+6+7+8+9", "at most 8"),
        ("~", "is not a seed"),
        ("3~9@0of8", "as in 3~9@2of8"),
        ("3~9@9of8", "as in 3~9@2of8"),
        ("3~9~5@1of8", "as in 3~9@2of8"),
        ("3~4-9", "is not a seed"),
        ("+".join(f"{MAX_SEED - n}*1234.123456789" for n in range(7)), "too long for the name of a file"),
    ],
)
def test_mixes_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match="`seeds`") as caught:
        parse_seeds(text)
    assert says in str(caught.value)


@given(terms, st.sampled_from(DISTRIBUTIONS))
def test_a_mix_keeps_the_norm_and_the_range(of: tuple[tuple[int, float], ...], distribution: str) -> None:
    mixed = latents([blend(of)], SIZE, distribution)[0]
    rows = latents([seed for seed, _ in of], SIZE, distribution).astype(float)
    weight = np.array([weight for _, weight in of])
    limit = {"normal": np.inf, "uniform": 1, "truncated": 2}[distribution]
    expected = np.clip(weight @ rows / np.sqrt((weight**2).sum()), -limit, limit)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_mixes_are_spread_like_seeds() -> None:
    z = latents((blend([(seed, 0.7), (seed + 1, 0.3), (seed + 2, -2)]) for seed in range(2000)), 50)
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.01))


@given(ends, ends, st.integers(2, 9))
def test_a_walk_goes_along_a_great_circle_from_end_to_end(start: Blend, end: Blend, count: int) -> None:
    walk = list(parse_seeds(f"{start}~{end}", count))
    assert len(walk) == count
    z = latents(walk, SIZE).astype(float)
    ends = latents([start, end], SIZE)
    np.testing.assert_array_equal(z[[0, -1]], ends)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    turns = np.arccos(np.clip((unit[1:] * unit[:-1]).sum(1), -1, 1))
    whole = np.arccos(np.clip(unit[0] @ unit[-1], -1, 1))
    if whole < 3:  # opposite ends have no one great circle
        assert np.sum(turns) == pytest.approx(whole, abs=1e-3)


def test_a_walk_over_several_seeds_has_each_joint_once() -> None:
    walk = parse_seeds("3~9~12", 3)
    assert list(map(str, walk)) == ["3~9@1of3", "3~9@2of3", "3~9@3of3", "9~12@2of3", "9~12@3of3"]
    assert len(walk) == 5
    z = latents(walk, SIZE)
    np.testing.assert_array_equal(z[[0, 2, 4]], latents([3, 9, 12], SIZE))
    assert list(map(seed_name, parse_seeds("3~9", 10)))[:2] == ["seed3~9@01of10", "seed3~9@02of10"]
    assert len(parse_seeds("3~9")) == 8


@pytest.mark.parametrize("count", [0, 1, -1, 1_000_001])
def test_steps_that_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match="`steps`"):
        parse_seeds("3~9", count)
    with pytest.raises(UsageError, match="is for walks"):
        parse_seeds("3,9", 4)


def test_slerp_of_parallel_and_of_empty_vectors() -> None:
    one = np.ones(4)
    np.testing.assert_allclose(slerp(one, 3 * one, 0.5), 2 * one)
    np.testing.assert_allclose(slerp(np.zeros(4), one, 0.5), one / 2)


@pytest.mark.parametrize(("center", "spread"), [("42", 0.3), ("3*0.7+9*0.3", 0.05), ("5*-1", 0.9)])
def test_variations_lie_at_one_angle_from_their_seed(center: str, spread: float) -> None:
    found = near(center, spread, 40)
    assert len(found) == 40
    assert found[0] == parse_seed(center)
    assert {first_seed(seed) for seed in found} == {first_seed(found[0])}
    assert len(set(found)) == 40
    z = latents(found, 5000).astype(float)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(unit[1:] @ unit[0], np.cos(spread * np.pi / 2), atol=0.06)
    assert [parse_seed(str(seed)) for seed in found] == list(found)


def test_the_farthest_variations_are_other_seeds_and_none_is_the_seed_itself() -> None:
    assert list(near("2", 1, 5)) == [2, 0, 1, 3, 4]
    assert list(near("1+0", 1, 3))[1:] == [2, 3]


@pytest.mark.parametrize(
    ("given_near", "spread", "count", "says"),
    [
        ("3~9@1of4", 0.3, 4, "`near`"),
        ("1,2", 0.3, 4, "`near` 1,2: give one seed, as in 42, or one mix"),
        ("a", 0.3, 4, "`near`"),
        ("1+2+3+4+5+6+7+8", 0.3, 2, "at most 8 can be mixed"),
        ("+".join(str(4_000_000_000 + seed) for seed in range(7)), 0.3, 2, "too long for the name of a file"),
        ("1", 0, 4, "`spread`"),
        ("1", 1.1, 4, "`spread`"),
        ("1", float("nan"), 4, "`spread`"),
        ("1", 0.3, 0, "`count`"),
    ],
)
def test_variations_that_are_refused(given_near: str, spread: float, count: int, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        near(given_near, spread, count)
    assert says in str(caught.value)


@given(st.integers(1, 6), st.integers(2, 30), st.integers(1, 30))
def test_shards_of_mixes_are_disjoint_and_complete(count: int, walk: int, varied: int) -> None:
    asked = (parse_seeds("0-9,1+2,3+4,7*-1,3~9~5", walk), near("4", 0.3, varied))
    for whole in asked:
        shards = [list(shard(whole, index, count)) for index in range(1, count + 1)]
        together = [seed for part in shards for seed in part]
        assert sorted(map(str, together)) == sorted(map(str, whole))


def test_a_long_walk_takes_no_memory() -> None:
    assert len(parse_seeds("3~9~12~3", 1_000_000)) == 2_999_998
    assert len(shard(near("3", 0.1, MAX_SEED), 3, 16)) == 2**28


@given(seeds, st.sampled_from([0.3, 0.5, 1.5, 3]), st.sampled_from(["normal", "truncated"]))
def test_resampling_draws_again_what_lies_beyond(seed: int, limit: float, distribution: str) -> None:
    """Against the definition, written plainly."""
    least = min(limit, 2) if distribution == "truncated" else limit
    stream = np.random.RandomState(seed)
    z = stream.randn(40)
    while (beyond := np.abs(z) > least).any():
        z[beyond] = stream.randn(beyond.sum())
    np.testing.assert_array_equal(latents([seed], 40, distribution, resample=limit)[0], z.astype(np.float32))


def test_a_mix_of_resampled_z_stays_inside() -> None:
    z = latents(parse_seeds("1+2+3,4~9"), 400, resample=0.5)
    assert np.abs(z).max() <= 0.5
    np.testing.assert_array_equal(latents([7], 40, "truncated", resample=2), latents([7], 40, "truncated"))

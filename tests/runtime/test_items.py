"""Items: seeds in classes, as a sequence that takes no memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gantool.runtime.items import Item, Items
from gantool.runtime.seeds import MAX_SEED, parse_seeds


@given(
    st.sampled_from(["3", "0-4", "7,1-3,5+6,2~8"]),
    st.sampled_from([(), (2,), (3, 0, 1)]),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_a_part_is_a_slice(text: str, classes: tuple[int, ...], start: int, count: int, more: int) -> None:
    seeds = parse_seeds(text)
    items = Items(seeds, classes)
    expected = [Item(items.named(seed, label), seed, label) for label in classes or (None,) for seed in seeds]
    assert list(items) == expected
    part = items.part(start, count)
    assert list(part) == expected[start : start + count]
    assert [part[index] for index in range(len(part))] == list(part)
    assert list(part.part(more, count)) == list(part)[more : more + count]


def test_all_seeds_in_many_classes_take_no_memory() -> None:
    items = Items(parse_seeds(f"0-{MAX_SEED}"), tuple(range(1000)))
    assert len(items) == 1000 * 2**32
    last = items.part(999 * 2**32 + 5, 10**12)
    assert (last[0].seed, last[0].label, len(last)) == (5, 999, 2**32 - 5)
    assert next(iter(last)) == last[0]

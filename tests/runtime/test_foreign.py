"""Text that may come from anyone: nested as deep as is allowed, one level deeper, and far beyond."""

from __future__ import annotations

import pytest

from gantool.runtime.foreign import DEEPEST, check_nesting, parse_json

TOO_DEEP = f"it is nested deeper than {DEEPEST} levels"


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a": ', "}")])
def test_nesting(begin: str, end: str) -> None:
    value = parse_json(begin * DEEPEST + "1" + end * DEEPEST)
    for _ in range(DEEPEST):
        (value,) = value.values() if isinstance(value, dict) else value
    assert value == 1
    for depth in (DEEPEST + 1, 100_000):
        with pytest.raises(ValueError, match=TOO_DEEP):
            parse_json(begin * depth + "1" + end * depth)


def test_a_value_that_is_much_larger_than_its_text() -> None:
    value: list[object] = []
    for _ in range(30):
        value = [value] * 9  # as aliases of YAML make it
    with pytest.raises(ValueError, match="its aliases make it much larger than its text"):
        check_nesting(value, most=200)


@pytest.mark.parametrize("text", ["1", '"a"', "null", "[]", "{}", '[[1], {"a": [2]}]'])
def test_small_values_are_read(text: str) -> None:
    parse_json(text)

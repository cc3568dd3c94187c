"""A sidecar that lies is an error of one line, whatever of it is of another type."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from field.cases import gantool

OTHERS: list[Any] = [5, "text", [1], {"a": 1}, None, True, 1e308, -1, 10**400]


def keys(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value inside a JSON value; of a list, to the first of it."""
    if way:
        yield way
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, entry in items:
        yield from keys(entry, (*way, key))


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: str(other)[:9])
def test_values_of_other_types(exported: Path, tmp_path: Path, other: Any) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "g.rtx.plan.json"
    sidecar = json.loads(path.read_text())
    codes = set()
    for way in keys(sidecar):
        lie = deepcopy(sidecar)
        place = lie
        for key in way[:-1]:
            place = place[key]
        place[way[-1]] = other
        path.write_text(json.dumps(lie))
        answer = gantool("inspect g.rtx.plan", tmp_path)
        codes.add(answer.code)
        assert answer.code in (0, 1), way
        assert len(answer.err.splitlines()) == answer.code, way
    assert 1 in codes


@pytest.mark.parametrize("text", ["[" * 99999, "[]", "5", "null", '{"plan_sha256": 5}', "\udcff", ""])
def test_a_sidecar_that_is_none(exported: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    (tmp_path / "g.rtx.plan.json").write_bytes(text.encode(errors="surrogateescape"))
    answer = gantool("inspect g.rtx.plan", tmp_path)
    assert answer.code == 1
    assert "g.rtx.plan.json is not a sidecar of gantool" in answer.err

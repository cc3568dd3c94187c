"""Each fuzz target reads its valid inputs, and refuses the inputs that once made it fail. It needs no atheris."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.util import find_spec

import pytest

from fuzz.harness import attempt, kept, load, names

_NEEDED = {"requests": "starlette", "c2pa": "c2pa", "signature": "model_signing"}
_VALID = ("requests",)  # targets whose seeds are all read; others have seeds that must be refused, too
# Inputs in which `null` becomes a value that is nested deeply.
_NESTED = {
    "metadata": '{"latent": {"size": 6}, "data": null}',
    "record": '{"gantool": "1", "engine": "e", "graph": "' + 64 * "0" + '", "seed": null}',
    "sidecar": '{"plan_sha256": "", "later": null}',
}


@pytest.mark.parametrize("name", names())
def test_replay(name: str) -> None:
    if (needed := _NEEDED.get(name)) and find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    target = load(name)
    try:
        read = [attempt(target, data) for data in target.seeds()]
        assert all(read) if name in _VALID else any(read), "what it refuses at once is not fuzzed beyond that"
        for data in [*(path.read_bytes() for path in kept(name)), b"", b"\0"]:
            attempt(target, data)
    finally:
        getattr(target, "end", bool)()


@pytest.mark.parametrize("name", _NESTED)
def test_values_that_are_nested_as_deep_as_python_reads_them(name: str) -> None:
    """Whoever prints, copies or writes such a value needs more of the stack than its reader."""
    target = load(name)
    deepest = _deepest()
    try:
        for depth in (150, deepest // 2, *range(deepest - 40, deepest)):
            for begin, end in (("[", "]"), ('{"a": ', "}")):
                value = begin * depth + "1" + end * depth
                attempt(target, _NESTED[name].replace("null", value).encode())
    finally:
        getattr(target, "end", bool)()


def _deepest() -> int:
    """Return how many levels of lists JSON cannot read here."""
    depth = 1
    with suppress(RecursionError):
        while json.loads("[" * depth + "]" * depth) is not None:
            depth += 1
    return depth

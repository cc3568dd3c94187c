"""A recipe of precisions: a file of `gantool export --recipe`, a sidecar, or the metadata of a graph."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.harness import put
from fuzz.mutate import json_values
from gantool.runtime.artifacts.recipe import read_recipe

MUTATE = json_values


def seeds() -> Iterator[bytes]:
    yield b'{"format": 1, "low": "fp16", "keep_fp32": {"Conv": "overflow"}, "int8": {"Gemm": 0.5}}'
    yield b'{"recipe": {"format": 1, "low": "bf16", "keep_fp32": {}, "int8": {}}}'
    yield b"\x08\x08\x72\x06\x0a\x01a\x12\x01b"


def run(data: bytes) -> None:
    recipe = read_recipe(put("recipe.json", data))
    assert recipe.to_json()["low"] == recipe.low
    assert recipe.precision in ("fp16", "bf16", "int8")

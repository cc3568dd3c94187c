"""The header of a safetensors file, which gantool reads without the library: sizes, types, offsets, metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fuzz.harness import EARLIER, put
from fuzz.mutate import json_values
from gantool.export.inspect import inspect
from gantool.export.safetensors_header import safetensors_header
from gantool.runtime.artifacts.kinds import kind_of

MUTATE = json_values
_WEIGHTS = 64  # bytes


def seeds() -> Iterator[bytes]:
    header = safetensors_header(EARLIER / "run/generator.safetensors") or {}
    weight = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, _WEIGHTS]}
    yield json.dumps({"__metadata__": header["__metadata__"], "w": weight}).encode()
    yield json.dumps({"w": weight}).encode()
    yield json.dumps({"a": {**weight, "shape": []}, "b": {**weight, "data_offsets": [4, 4]}}).encode()


def run(data: bytes) -> None:
    path = put("g.safetensors", len(data).to_bytes(8, "little") + data + bytes(_WEIGHTS))
    assert kind_of(path).found.isprintable()
    assert inspect(path).text()

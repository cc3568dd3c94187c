"""The record in a mark, JSON: what makes an image again."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fuzz.mutate import json_values
from gantool.runtime.latents import latents
from gantool.runtime.provenance.record import parse_record
from gantool.runtime.seeds import as_seeds, seed_name

MUTATE = json_values
_BASE = {"gantool": "1.0", "graph": "0" * 64, "engine": "ONNX Runtime, CPU"}


def seeds() -> Iterator[bytes]:
    yield json.dumps(
        {**_BASE, "precision": "int8", "truncation": 0.5, "seed": "3*0.7+9*0.3", "class": 2}
    ).encode()
    yield json.dumps({**_BASE, "z": "AACAPwAAAEA=", "direction": ["smile=1"], "class": [0.5, 0.5]}).encode()
    yield json.dumps({**_BASE, "seeds": "0-9", "background": "white", "truncation_resample": 1}).encode()


def run(data: bytes) -> None:
    try:
        text = data.decode("utf-8", "surrogatepass")  # halves of surrogate pairs, too
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    record = parse_record(text)
    again = parse_record(json.dumps(record.to_json()))
    assert again.to_json() == record.to_json()
    if record.seed is not None:
        (seed,) = as_seeds(record.seed)
        assert len(seed_name(seed).encode()) < 200
        latents([seed], 2)

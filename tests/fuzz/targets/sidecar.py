"""The sidecar of a plan, g.plan.json: JSON of anybody beside a plan whose SHA-256 it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256

from fuzz.harness import EARLIER, put
from fuzz.mutate import json_values
from gantool.runtime.artifacts.sidecar import read_sidecar, sidecar_path, write_sidecar
from gantool.runtime.errors import GantoolError
from gantool.runtime.signature import Signature

MUTATE = json_values
_PLAN = b"ftrt" + bytes(60)


def seeds() -> Iterator[bytes]:
    yield (EARLIER / "g.rtx.plan.json").read_bytes()
    yield b'{"plan_sha256": "", "receipt": {"source": "engine", "shares": {"fp16": 0.5}, "layers": []}}'
    yield b'{"plan_sha256": null, "stripped": true, "batch": {"max": 4}, "recipe": {"low": "fp16"}}'


def run(data: bytes) -> None:
    plan = put("g.plan", _PLAN)
    own = f'"plan_sha256": "{sha256(_PLAN).hexdigest()}"'
    sidecar_path(plan).write_bytes(re.sub(rb'"plan_sha256": ?"[^"]*"', own.encode(), data, count=1))
    sidecar = read_sidecar(plan)
    assert sidecar is not None
    write_sidecar(plan, sidecar)
    again = read_sidecar(plan)
    assert again is not None
    assert json.dumps(again.content) == json.dumps(sidecar.content)
    for name in (
        "plan_sha256",
        "graph",
        "graph_sha256",
        "stripped",
        "max_batch",
        "precision",
        "metadata",
        "tensors",
    ):
        with suppress(GantoolError):
            getattr(sidecar, name)
    Signature.of_engine(plan, sidecar.tensors).spec(sidecar.metadata)

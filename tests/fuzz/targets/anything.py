"""`gantool inspect` of a file: the widest door, through which files of all kinds come.

Plans are left out: of one without a sidecar, TensorRT itself says what it takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fuzz.harness import EARLIER, GENERATORS, put
from fuzz.targets import bundle, film, graph, mark, safetensors
from gantool.export.inspect import inspect
from gantool.export.packaging.bundle import MANIFEST


def seeds() -> Iterator[bytes]:
    for target in (graph, mark, film):
        yield from target.seeds()
    for header in safetensors.seeds():
        yield len(header).to_bytes(8, "little") + header + bytes(64)
    yield from (
        data for data in bundle.seeds() if data.startswith(MANIFEST.encode())
    )  # tars begin with its name
    yield (EARLIER / "g.fp16.onnx").read_bytes()
    yield (GENERATORS / "conditional.tar").read_bytes()


def run(data: bytes) -> None:
    if data.startswith((b"ftrt", b"vtrt")):
        return
    found = inspect(put("given", data))
    assert found.text()
    json.dumps(found.to_json())

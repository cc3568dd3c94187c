"""The metadata of a generator: JSON in a checkpoint, a graph and a sidecar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuzz.harness import EARLIER
from fuzz.mutate import json_values
from gantool.export.inspect import Inspection
from gantool.export.safetensors_header import checkpoint_metadata
from gantool.runtime.classes import every_class, parse_classes, safe_names
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.signature import INPUT, OUTPUT, Signature, Tensor

MUTATE = json_values
_FIELDS = (
    *(
        "format",
        "architecture",
        "config",
        "image",
        "bits",
        "latent",
        "distribution",
        "classes",
        "class_names",
    ),
    *("class_counts", "int8_limits", "images_seen", "data", "gantool", "authorship", "training"),
)
_TENSORS = (
    Tensor("z", INPUT, "float32", (None, 6)),
    Tensor("label", INPUT, "int64", (None,)),
    Tensor("images", OUTPUT, "uint8", (None, 4, 4, 3)),
)


def seeds() -> Iterator[bytes]:
    found = checkpoint_metadata(EARLIER / "run/generator.safetensors").to_json()
    yield json_of(found)
    yield json_of({**found, "classes": 2, "class_names": ["cat", "dog"], "class_counts": [3, 4]})
    yield json_of({**found, "title": "Cats", "licence": "CC0", "bits": 16, "int8_limits": [0.5]})


def json_of(value: object) -> bytes:
    """Return JSON."""
    import json

    return json.dumps(value).encode()


def run(data: bytes) -> None:
    path = Path("g.onnx")
    metadata = Metadata.parse(data, path)
    for name in _FIELDS:
        with suppress(GantoolError):
            getattr(metadata, name)
    Inspection(path, {"metadata": metadata.to_json()}).text()
    spec = Signature.of_graph(path, _TENSORS).spec(metadata)
    "".join(spec.class_names).encode()
    names = safe_names(spec.class_names)
    assert len({name.casefold() for name in names}) == len(names)
    with suppress(GantoolError):
        parse_classes("0,cat,1-3", spec)
        every_class(spec)

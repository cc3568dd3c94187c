"""An ONNX file, as the runtime reads it without the onnx package.

Whatever onnx itself finds in a file, no graph passes whose weights lie in another file: its name may be anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import onnx
from onnx import TensorProto, helper

from fuzz.harness import EARLIER, put
from gantool.export.graph.external import tensors
from gantool.runtime.artifacts.onnx import (
    METADATA_KEY,
    RECIPE_KEY,
    content,
    low_of,
    open_graph,
    output_shape,
    output_type,
    read_json,
    read_metadata,
    with_json,
)
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.errors import GantoolError
from helpers.tiny import tiny_graph


def seeds() -> Iterator[bytes]:
    small = onnx.load_from_string(tiny_graph())
    for initializer in small.graph.initializer:
        initializer.raw_data = initializer.raw_data[:8]
    yield small.SerializeToString()
    entry = small.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, '{"latent": {"size": 6, "distribution": "normal"}}'
    entry = small.metadata_props.add()
    entry.key, entry.value = RECIPE_KEY, '{"format": 1, "low": "fp16", "keep_fp32": {}, "int8": {}}'
    yield small.SerializeToString()
    outside = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=outside)], "inner", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner)
    yield helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString()
    yield (EARLIER / "g.fp16.onnx").read_bytes()[-3000:]


def run(data: bytes) -> None:
    path = put("g.onnx", data)
    try:
        opened = open_graph(path)
    except GantoolError:
        return
    assert not _outside(data)
    for read in (read_metadata, low_of, recipe_of):
        with suppress(GantoolError):
            read(path, opened)
    with suppress(GantoolError):
        output_shape(path, opened, "images")
        output_type(path, opened, "images")
        assert sum(map(len, content(path, opened))) <= 16 * len(data) + 16
    with suppress(GantoolError):
        value: dict[str, Any] = {"low": "é"}
        again = with_json(path, opened, RECIPE_KEY, value)
        assert read_json(path, RECIPE_KEY, again) == value


def _outside(data: bytes) -> bool:
    """Return whether onnx finds a weight in another file."""
    try:
        model = onnx.load_from_string(data)
    except Exception:  # protobuf's own class
        return False
    return any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors(model))

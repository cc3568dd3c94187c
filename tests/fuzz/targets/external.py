"""An ONNX graph of another program, whose weights may lie in a file that it names.

Nothing outside of the folder of the graph is read.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from fuzz.harness import folder
from gantool.export.graph.external import load_whole
from helpers.tiny import tiny_graph

_watched: list[Path] = []  # the folder of the graph while one is read


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], (str, bytes)):
        path = Path(str(arguments[0]))
        assert path.is_relative_to(_watched[0]) or path.suffix in (".py", ".pyc", ".so"), path


sys.addaudithook(_watch)


def seeds() -> Iterator[bytes]:
    yield tiny_graph()
    for location in ("w.data", "../secret", "/etc/passwd", "a/../w.data", "link"):
        weight = TensorProto(name="w", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", "4"), ("length", "8")):
            weight.external_data.add(key=key, value=value)
        graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [weight])
        yield helper.make_model(graph).SerializeToString()


def run(data: bytes) -> None:
    inside = folder() / "graph"
    if not inside.is_dir():
        inside.mkdir()
        (folder() / "secret").write_bytes(bytes(64))
        (inside / "w.data").write_bytes(bytes(64))
        (inside / "link").symlink_to("../secret")
    path = inside / "g.onnx"
    path.write_bytes(data)
    _watched.append(inside.resolve())
    try:
        model = load_whole(path)
    finally:
        _watched.clear()
    assert all(weight.data_location != TensorProto.EXTERNAL for weight in model.graph.initializer)
    onnx.save(model, io.BytesIO())

"""What people type, and files that lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx

from field.cases import Case
from gantool.export.packaging import bundle


def graph(folder: Path) -> None:
    """Put a tiny generator into a folder, one of those in the package."""
    source = Path(str(files("gantool.export.doctor"))) / "golden/fp32.tar"
    (folder / "g.onnx").write_bytes(bundle.read(source).graph)


def checkpoint(header: dict[str, Any] | str, data: int = 16) -> Callable[[Path], object]:
    """Return what writes c.safetensors with such a header."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return lambda folder: (folder / "c.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + bytes(data)
    )


def odd_types(folder: Path) -> None:
    """Put a graph into a folder with a weight of a type that ONNX does not have."""
    graph(folder)
    model = onnx.load(folder / "g.onnx")
    model.graph.initializer.add(name="unused", data_type=999)
    onnx.save(model, folder / "g.onnx")


def no_images(folder: Path) -> None:
    assert not (folder / "images").exists()


GENERATE = [
    ("batch of 2**63", "--batch 9223372036854775808", 2, "from 1 to 1,048,576"),
    ("shard of 2**63", "--format tar --shard-size 9223372036854775808", 2, "from 1 to 4294967295"),
    ("shards of nothing", "--format tar --shard-size -1", 2, "from 1 to 4294967295"),
    ("a sheet of millions", "--grid 999x999", 2, "a sheet of 15,984×15,984 pixels is too large"),
    ("trunc beyond float32", "--trunc 1e39", 2, "--trunc 1e+39: give a smaller number"),
    ("trunc below float32", "--trunc -1e38", 2, "give a smaller number, usually from 0 to 1"),
    ("trunc without end", "--trunc inf", 2, "give a finite number"),
]
F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
LIES: list[tuple[str, dict[str, Any] | str, str]] = [
    ("metadata are a list", {"__metadata__": {"gantool": "[1]"}, "w": F32}, "its metadata are [1]"),
    ("deep metadata", {"__metadata__": {"gantool": "[" * 99999}, "w": F32}, "its metadata are not JSON"),
    ("deep header", '{"w": ' + "[" * 99999, "is a damaged safetensors file"),
    ("offsets of text", {"w": {**F32, "data_offsets": ["0", "16"]}}, "w is {'dtype'"),
    ("offsets of null", {"w": {**F32, "data_offsets": None}}, "w is {'dtype'"),
    ("no shape", {"x.running_mean": {"dtype": "F32", "data_offsets": [0, 16]}}, "x.running_mean is"),
    ("shape of text", {"w": {**F32, "shape": "4"}}, "w is {'dtype'"),
    ("shape of text inside", {"w": {**F32, "shape": ["4"]}}, "w is {'dtype'"),
    ("a huge shape", {"w": {**F32, "shape": [2**62] * 300}}, "w is {'dtype'"),
    ("a number of 5,000 digits", '{"w": {"shape": [' + "9" * 5000 + "]}}", "is a damaged safetensors file"),
    ("type of a number", {"w": {**F32, "dtype": 5}}, "w is {'dtype': 5"),
    ("metadata of text", {"__metadata__": "a", "w": F32}, "is a damaged checkpoint"),
]
CASES = [
    *(
        Case(name, f"generate -e g.onnx {flags}", code, (says,), prepare=graph, then=no_images)
        for name, flags, code, says in GENERATE
    ),
    Case(
        "a sheet with room left",
        "generate -e g.onnx --grid 100x100",
        says=("64 images for 10,000 places",),
        prepare=graph,
    ),
    Case("one image of all seeds", "generate -e g.onnx --trunc 0", says=("are the same",), prepare=graph),
    Case(
        "one seed without a mean",
        "generate -e g.onnx --trunc 0 --seeds 3",
        never=("are the same",),
        prepare=graph,
    ),
    *(
        Case(
            f"checkpoint: {name}",
            "inspect c.safetensors",
            1,
            (says, "copy it again"),
            prepare=checkpoint(header),
        )
        for name, header, says in LIES
    ),
    Case("types that there are not", "inspect g.onnx", says=("type 999",), prepare=odd_types),
    Case(
        "checkpoint: half a character",
        "inspect c.safetensors",
        says=("parameters",),
        prepare=checkpoint({"__metadata__": {"gantool": '{"a": "\\ud800"}'}, "w": F32}),
    ),
]

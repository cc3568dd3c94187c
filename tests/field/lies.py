"""Graphs that say of themselves what is not so: where their weights lie, how large they are, their names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import convert_model_to_external_data

from field.cases import Case, Folder
from field.faults import graph as golden
from field.graphs import NONE, by

_variants = by("onnx_variants", ".")
LONG = "n" * 1_000_000
EXPORT = f"export b.onnx {NONE}"


def beside(change: Callable[[onnx.TensorProto], object]) -> Folder:
    """Return what writes b.onnx with its weights in b.data, and `change`s what it says of one of them."""

    def prepare(folder: Path) -> None:
        _variants(folder)
        model = onnx.load(folder / "opset13.onnx")
        convert_model_to_external_data(model, location="b.data", size_threshold=1)
        onnx.save(model, folder / "b.onnx")
        model = onnx.load(folder / "b.onnx", load_external_data=False)
        change(next(one for one in model.graph.initializer if one.external_data))
        (folder / "b.onnx").write_bytes(model.SerializeToString())

    return prepare


def entry(key: str, value: str) -> Callable[[onnx.TensorProto], object]:
    def change(tensor: onnx.TensorProto) -> None:
        for one in tensor.external_data:
            if one.key == key:
                one.value = value

    return change


def dims(*sides: int) -> Callable[[onnx.TensorProto], object]:
    def change(tensor: onnx.TensorProto) -> None:
        tensor.dims[:] = sides

    return change


def kind(number: int) -> Callable[[onnx.TensorProto], object]:
    return lambda tensor: setattr(tensor, "data_type", number)


def links_in_a_circle(folder: Path) -> None:
    beside(lambda _: None)(folder)
    (folder / "b.data").unlink()
    (folder / "b.data").symlink_to(folder / "b.data")


def a_folder(folder: Path) -> None:
    beside(lambda _: None)(folder)
    (folder / "b.data").unlink()
    (folder / "b.data").mkdir()


def wide(sides: list[int]) -> Folder:
    """Return what writes b.onnx with a weight of doubles whose sides its bytes do not fill."""

    def prepare(folder: Path) -> None:
        _variants(folder)
        model = onnx.load(folder / "double.onnx")
        weight = next(one for one in model.graph.initializer if one.data_type == onnx.TensorProto.DOUBLE)
        weight.dims[:] = sides
        (folder / "b.onnx").write_bytes(model.SerializeToString())

    return prepare


def long_names(folder: Path) -> None:
    """Have a graph of gantool whose names are a million letters long."""
    golden(folder)
    model = onnx.load(folder / "g.onnx")
    for node in model.graph.node:
        node.name += LONG
    model.graph.input[0].name += LONG
    for node in model.graph.node:
        node.input[:] = [name + LONG if name == "z" else name for name in node.input]
    (folder / "b.onnx").write_bytes(model.SerializeToString())


def metadata(key: str, value: bytes) -> Folder:
    """Return what writes b.onnx, a graph of gantool with these bytes under `key`; they need not be text."""

    def prepare(folder: Path) -> None:
        golden(folder)
        model = onnx.load(folder / "g.onnx")
        for one in [one for one in model.metadata_props if one.key == key]:
            model.metadata_props.remove(one)
        mark = b"#" * len(value)
        model.metadata_props.add(key=key, value=mark.decode())
        (folder / "b.onnx").write_bytes(model.SerializeToString().replace(mark, value))

    return prepare


def named(name: str) -> Folder:
    """Return what puts a binary graph of gantool, and one of others, under names of other formats."""

    def prepare(folder: Path) -> None:
        golden(folder)
        (folder / "g.onnx").rename(folder / name)
        _variants(folder)
        shutil.copy(folder / "opset13.onnx", folder / f"other-{name}")

    return prepare


OUTSIDE: list[tuple[str, Any, str]] = [
    ("a zero byte in a name", entry("location", "b\0.data"), "cannot exist ('b?.data')"),
    ("a long name", entry("location", LONG), "cannot exist ('nnnn"),
    ("a long path", entry("location", "n/" * 100_000), "cannot exist ('n/n/"),
    ("an absolute name", entry("location", "/etc/passwd"), "outside of its folder"),
    ("a name above", entry("location", "sub/../../b.data"), "outside of its folder"),
    ("no name", entry("location", ""), "outside of its folder"),
    ("escape codes", entry("location", "\x1b[31mred"), "?[31mred, which is missing"),
    ("a negative side", dims(-1), "has a side of -1"),
    ("negative sides", dims(-2, -3), "has a side of -3"),
    ("huge sides", dims(*[2**62] * 300), "more than 2 GiB"),
    ("a side too many", dims(1 << 20), "b.onnx expects 4,194,304 bytes"),
    ("a negative offset", entry("offset", "-4"), "which do not fit"),
    ("an offset of text", entry("offset", "x" * 100_000), "does not say in numbers"),
    ("an offset of 5,000 digits", entry("offset", "9" * 5000), "does not say in numbers"),
    ("a length of its own", entry("length", "4"), "which do not fit"),
    ("a type of its own", kind(999), "is of type 999"),
]
NOT_LONG = (LONG[:300],)  # a name, quoted whole
CASES = [
    *(
        Case(f"weights outside: {name}", EXPORT, 1, ("b.onnx", says), NOT_LONG, beside(change))
        for name, change, says in OUTSIDE
    ),
    Case("weights outside: a circle of links", EXPORT, 1, ("cannot exist",), prepare=links_in_a_circle),
    Case("weights outside: a folder", EXPORT, 1, ("missing or not a file",), prepare=a_folder),
    Case(
        "weights outside: run",
        "generate -e b.onnx",
        1,
        ("gantool export b.onnx -o g makes one",),
        prepare=beside(lambda _: None),
    ),
    *(
        Case(f"doubles: {sides}", EXPORT, 1, ("b.onnx",), prepare=wide(sides))
        for sides in ([-1], [3], [2**40, 2**40], [])
    ),
    *(
        Case(f"long names: {command.split()[0]}", command, code, ("b.onnx",), NOT_LONG, long_names)
        for command, code in (
            (f"{EXPORT} --fp16", 1),
            ("generate -e b.onnx", 1),
            ("inspect b.onnx", 0),
            ("verify b.onnx b.onnx", 1),
        )
    ),
    *(
        Case(
            f"metadata: {name}, {command.split()[0]}",
            command,
            1,
            ("b.onnx is damaged",),
            NOT_LONG,
            metadata("gantool", value),
        )
        for name, value in (("no text", b"\xff" + LONG.encode()), ("text", b'"' + LONG.encode() + b'"'))
        for command in ("generate -e b.onnx", "inspect b.onnx")
    ),
    *(
        Case(f"{command}: {suffix}", f"{command} g.{suffix} {more}", prepare=named(f"g.{suffix}"))
        for suffix in ("json", "pbtxt", "textproto", "onnxtxt")
        for command, more in (
            ("inspect", ""),
            ("generate", ""),
            ("export", f"--fp16 {NONE}"),
            ("export", f"--bundle b.tar {NONE}"),
        )
        if suffix in ("json", "pbtxt") or command == "inspect"
    ),
    *(
        Case(f"a graph of others: {suffix}", f"export other-g.{suffix} {NONE}", prepare=named(f"g.{suffix}"))
        for suffix in ("json", "pbtxt")
    ),
]  # fmt: skip

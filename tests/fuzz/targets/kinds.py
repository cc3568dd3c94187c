"""A file of any kind: `kind_of` looks at its first bytes, and at names inside of it."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.harness import EARLIER, put
from gantool.runtime.artifacts.kinds import kind_of, wrong
from helpers.archives import tarred, zipped

_SUFFIXES = ("", ".onnx", ".plan", ".pth", ".zip", ".meta", ".bin", ".index", ".json")


def seeds() -> Iterator[bytes]:
    for name in ("g.rtx.plan.json", "run/generator.safetensors", "g.fp16.onnx", "run/training_options.json"):
        yield b"\0" + (EARLIER / name).read_bytes()[:4096]
    yield b"\1" + zipped("archive/data.pkl", "archive/version")
    yield b"\1" + zipped("a.png", "b.png")
    yield b"\1" + zipped("MAR-INF/MANIFEST.json", "g.pt")
    yield b"\1" + zipped("g/data.pkl", "g/constants.pkl", "g/code/a.py")
    yield b"\1" + zipped("serialized_exported_program.json")
    yield b"\1" + zipped("model.weights.h5", "config.json")
    yield b"\1" + zipped("a.npy", "b.npy")
    yield b"\2" + tarred("a.png")
    yield b"\3\x80\x02}q\0X\x05\0\0\0dnnlibq\1."
    yield b"\5\x0a\x08\x0a\x01x\x12\x03Add"
    yield b"\0\x08\x05\xaa\x0c\x02\x0a\0"
    yield b"\0<?xml version='1.0'?><net name='a'>"
    yield b"\7" + bytes(40) + bytes.fromhex("57fb808b247547db")


def run(data: bytes) -> None:
    path = put("given" + _SUFFIXES[data[0] % len(_SUFFIXES)] if data else "given", data[1:])
    try:
        kind = kind_of(path)
        text = wrong(path, "an ONNX graph", kind)
        assert text.isprintable(), text
        assert len(text) < 2000
    finally:
        path.unlink()

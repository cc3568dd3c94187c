"""The header of a plan, of TensorRT and of TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.harness import EARLIER, put
from gantool.runtime.artifacts.plan import describe, identify, read_header, version_text


def seeds() -> Iterator[bytes]:
    head = (EARLIER / "g.rtx.plan").read_bytes()[:0x40]
    yield head[:0x10] + (0x40).to_bytes(8, "little") + head[0x18:]
    yield head
    yield b"ftrt" + bytes(0x14) + bytes((10, 13, 0, 35)) + bytes(32)


def run(data: bytes) -> None:
    path = put("g.plan", data)
    identify(path)
    header = read_header(path)
    assert header.size in (None, len(data))
    assert describe(header).isprintable()
    assert version_text(header.version)

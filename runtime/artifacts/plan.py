"""Recognize ONNX graphs and plans, and parse the header of a plan before any engine library is loaded.

The header is little endian. TensorRT-RTX: found by experiment on plans of 1.4 and 1.7. TensorRT: only the tag and
the version are known (trtexec --getPlanVersionOnly reads these 28 bytes), so only they are read.

    0x00  4 bytes  b"ftrt" TensorRT, b"vtrt" TensorRT-RTX
    0x10  u64      size of the whole file
    0x18  4 × u8   major, minor, patch, build
    0x20  u32      TensorRT-RTX: one bit for each compute capability
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.errors import GantoolError

Kind = Literal["onnx", "tensorrt", "rtx"]

NAMES: dict[Kind, str] = {"onnx": "ONNX", "tensorrt": "TensorRT", "rtx": "TensorRT-RTX"}


@dataclass(frozen=True)
class PlanHeader:
    """The header of a plan."""

    kind: Kind
    version: tuple[int, int, int, int]  # of the library that built it: major, minor, patch, build
    size: int | None  # bytes of the whole file; None for TensorRT, which does not document it
    compute_capabilities: tuple[str, ...]  # "8.6" ...; empty for TensorRT, whose header does not have them


def identify(path: Path) -> Kind:
    """Return whether a file is an ONNX graph or a plan, and of which library, by its first bytes.

    Raises GantoolError if it cannot be read or is neither of them.
    """
    return _kind(path)


def read_header(path: Path) -> PlanHeader:
    """Read the header of a plan.

    Raises GantoolError if `path` is not a plan, is cut off, or has bytes appended. For TensorRT plans only a header
    that is cut off is detected: their size is not in the header.
    """
    kind = _kind(path)
    if kind == "onnx":
        raise GantoolError(f"{path} is an ONNX graph, expected a plan: gantool export {path}")
    with path.open("rb") as file:
        return parse_header(path, kind, file.read(64), path.stat().st_size)


def parse_header(path: Path, kind: Kind, head: bytes, actual: int) -> PlanHeader:
    """Parse `head`, the first bytes of a plan of `actual` bytes. `path` is for messages."""
    needed = 0x24 if kind == "rtx" else 0x1C
    if len(head) < needed:
        raise GantoolError(
            f"{path} is cut off: it has {len(head)} bytes, and the header of a {NAMES[kind]} plan alone has "
            f"{needed}; copy it again"
        )
    major, minor, patch, build = head[0x18:0x1C]
    version = (major, minor, patch, build)
    if kind == "tensorrt":
        return PlanHeader(kind, version, None, ())
    (size,) = struct.unpack_from("<Q", head, 0x10)
    if actual != size:
        damage = "is cut off" if actual < size else "has bytes appended"
        raise GantoolError(f"{path} {damage}: it has {actual} bytes, its header says {size}; copy it again")
    (bits,) = struct.unpack_from("<I", head, 0x20)
    return PlanHeader(kind, version, size, tuple(name for bit, name in _COMPUTE_CAPABILITIES if bits & bit))


def version_text(version: tuple[int, ...]) -> str:
    """Return "1.7.1.116" for (1, 7, 1, 116)."""
    return ".".join(map(str, version))


def describe(header: PlanHeader) -> str:
    """Return "TensorRT-RTX 1.7.1.116 plan for compute capability 8.6, 8.9", for messages."""
    text = f"{NAMES[header.kind]} {version_text(header.version)} plan"
    names = ", ".join(header.compute_capabilities)
    return f"{text} for compute capability {names}" if names else text


# By default, 1.7 writes 0x7e and 1.4 writes 0x3e: every capability but Turing (7.5), and one more bit, which means
# "and later" by NVIDIA's documents. Unknown bits are ignored.
_COMPUTE_CAPABILITIES = (
    (0x01, "7.5"),
    (0x02, "8.0"),
    (0x04, "8.6"),
    (0x08, "8.9"),
    (0x10, "12.0"),
    (0x20, "12.1"),
)

_EXPECTED = "an ONNX graph or a TensorRT or TensorRT-RTX plan"


def _kind(path: Path) -> Kind:
    kind = kind_of(path)
    if kind.name == "onnx" or kind.name == "tensorrt" or kind.name == "rtx":
        return kind.name
    raise GantoolError(wrong(path, _EXPECTED, kind))

"""Recognize protobuf files, which have no magic bytes, by the numbers of their outermost fields.

ONNX        1 ir_version (a number), 7 graph
CoreML      1 specificationVersion (a number), one of 200 and above: the model
SavedModel  1 schema version (a number), 2 MetaGraphDef
GraphDef    1 NodeDef: 1 name, 2 operator; a frozen graph of TensorFlow
MetaGraph   1 MetaInfoDef, 2 GraphDef; the .meta of a checkpoint of TensorFlow 1
Paddle      1 BlockDesc: 1 index (a number), 2 parent (a number)
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from gantool.runtime.artifacts.magic import ORIGINAL, TF2ONNX, TO_ONNX, Kind

_MAX_FIELDS = 4096  # parsed
_START = 64  # bytes read of each field
_NUMBER, _BYTES = 0, 2  # wire types

_ONNX = Kind("onnx", "is an ONNX graph", "to export it: gantool export {path}")
_COREML = Kind("coreml", "is a CoreML model", ORIGINAL)
_SAVED = Kind(
    "savedmodel",
    "is the graph of a SavedModel of TensorFlow",
    "convert its folder: python -m tf2onnx.convert --saved-model FOLDER --output g.onnx, " + TO_ONNX,
)
_FROZEN = Kind(
    "tensorflow",
    "is a frozen graph of TensorFlow",
    "python -m tf2onnx.convert --graphdef {path} " + TF2ONNX,
)
_META = Kind(
    "tensorflow",
    "is the graph of a TensorFlow 1 checkpoint",
    "python -m tf2onnx.convert --checkpoint {path} " + TF2ONNX,
)
_PADDLE = Kind(
    "paddle",
    "is a Paddle model",
    "paddle2onnx --model_dir FOLDER --model_filename {path} --params_filename FILE.pdiparams --save_file g.onnx, "
    + TO_ONNX,
)


def of_protobuf(path: Path, head: bytes) -> Kind | None:
    """Return the kind of a protobuf file, or None if its first fields match none of the known kinds."""
    if head[:1] not in (b"\x08", b"\x0a"):  # field 1, a number or bytes
        return None
    fields = _fields(path)
    first = fields.get(1)
    if first is None:
        return None
    wire, start = first
    if wire == _NUMBER:
        version = head[1]
        if 7 not in fields and any(number >= 200 for number in fields):
            return _COREML
        if 7 not in fields and version == 1 and fields.get(2, (0, b""))[1][:1] == b"\x0a":
            return _SAVED
        return _ONNX if 0 < version < 0x80 else None  # also if it is truncated; the version is one byte
    if start[:2] == b"\x08\0" and start[2:3] == b"\x10":
        return _PADDLE
    if start[:1] == b"\x0a" and _second(start) == 0x12:
        return _FROZEN
    meta = fields.get(2, (0, b""))
    if meta[0] == _BYTES and meta[1][:1] == b"\x0a" and path.suffix == ".meta":
        return _META
    return None


def _fields(path: Path) -> dict[int, tuple[int, bytes]]:
    """Return field number -> (wire type, first bytes) of its first occurrence, up to where parsing fails."""
    found: dict[int, tuple[int, bytes]] = {}
    with path.open("rb") as file:
        for _ in range(_MAX_FIELDS):
            tag = _varint(file)
            if tag is None or not tag >> 3:
                break
            number, wire = tag >> 3, tag & 7
            start = b""
            if wire == _NUMBER:
                if _varint(file) is None:
                    break
            elif wire == _BYTES:
                length = _varint(file)
                if length is None:
                    break
                start = file.read(min(length, _START))
                file.seek(length - len(start), 1)
            elif wire in (1, 5):
                file.seek(8 if wire == 1 else 4, 1)
            else:
                break
            found.setdefault(number, (wire, start))
    return found


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 63, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


def _second(start: bytes) -> int | None:
    """Return the tag that follows the first field; after a field of over 60 bytes, assume 0x12 (field 2, bytes)."""
    length = start[1] if len(start) > 1 else 0
    if length >= _START - 2:
        return 0x12
    return start[2 + length] if len(start) > 2 + length else None

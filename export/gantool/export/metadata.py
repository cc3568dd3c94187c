"""Read the metadata of an ONNX file without the onnx package, which a device that builds engines may lack.

ONNX is protobuf: fields of (number << 3 | wire type), then a varint, 4 or 8 bytes, or a length and bytes.
ModelProto's field 14 holds metadata_props; in each, field 1 is the key and field 2 the value (onnx.proto).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError

_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2


def read_metadata(graph: Path) -> dict[str, Any]:
    """Return the JSON under `gantool` in the graph's metadata, or {} where there is none."""
    try:
        for number, entry in _fields(memoryview(graph.read_bytes())):
            if number == _METADATA_PROPS:
                pair = dict(_fields(entry))
                if bytes(pair.get(_KEY, b"")) == b"gantool":
                    return dict(json.loads(bytes(pair[_VALUE])))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise GantoolError(f"{graph} is damaged ({error!r}): copy or export it again") from error
    return {}


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each field with a length; skip the others."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, position = _varint(message, position)
        elif wire == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError(f"a field of {length} bytes runs over the end")
            yield number, message[position : position + length]
            position += length
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number at `position`, 7 bits a byte with the lowest first, and the position after it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7

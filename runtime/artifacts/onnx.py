"""Read an ONNX file without the onnx package, which a device that builds or runs engines may not have.

ONNX is protobuf: fields of (number << 3 | wire type), then a varint, 4 or 8 bytes, or a length and bytes. The
numbers are those of onnx.proto:

    ModelProto      7 graph, 14 metadata_props (1 key, 2 value), 25 functions
    GraphProto      1 node, 5 initializer, 12 output, 15 sparse_initializer
    FunctionProto   7 node, 11 attribute_proto
    NodeProto       5 attribute, in it 5 a tensor, 10 tensors, 6 and 11 graphs, 22 and 23 sparse tensors
    SparseTensor    1 values, 2 indices
    TensorProto     14 data_location, 1 for a file outside
    ValueInfoProto  1 name, 2 type, in it 1 tensor_type (1 elem_type), 2 shape, 1 dim, 1 dim_value

Tags and enums are truncated to 32 bits, as in protobuf.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.foreign import parse_json
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import reason_of, short

UINT16 = 4  # TensorProto.DataType
METADATA_KEY = "gantool"  # of the generator's metadata
RECIPE_KEY = "gantool_recipe"  # a key of the metadata, see recipe.py
PARITY_KEY = "gantool_parity"  # of the measurements of the export
LIMITS_KEY = "gantool_int8_limits"  # another, see export/precision/trained.py
_GRAPH, _METADATA_PROPS, _KEY, _VALUE = 7, 14, 1, 2
_NODE, _INITIALIZER, _ATTRIBUTE, _TENSORS, _GRAPHS = 1, 5, 5, (5, 10), (6, 11)
_FUNCTION, _FUNCTION_NODE, _FUNCTION_ATTRIBUTE = 25, 7, 11
_SPARSE_INITIALIZER, _SPARSE_TENSORS, _SPARSE_PARTS = 15, (22, 23), (1, 2)
_OUTPUT, _TENSOR_TYPE, _ELEM_TYPE, _SHAPE, _DIM_VALUE = 12, (2, 1), 1, (2, 1), 1
_32_BITS = (1 << 32) - 1
_DATA_LOCATION, _EXTERNAL = 14, 1
_DEPTH = 8  # levels of nested graphs; a generator has one
_DAMAGE = (ValueError, IndexError, KeyError, TypeError)


def open_graph(graph: Path) -> mmap:
    """Map a graph into memory. The bytes stay the same if another file takes its name.

    Raises GantoolError if it is not a whole protobuf message, or if a weight lies in another file.
    """
    data = map_file(graph)
    check_inside(graph, data)
    return data


def map_file(graph: Path) -> mmap:
    """Map a file into memory. Raises GantoolError for an empty one."""
    with graph.open("rb") as file, _damage_of(graph):
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def check_inside(graph: Path, data: bytes | mmap) -> None:
    """Raise GantoolError if `data`, the bytes of the file `graph`, is not a whole protobuf message.

    Raise it also if a weight lies in another file: the name of that file cannot be trusted.
    """
    with _damage_of(graph, data):
        model = memoryview(data)
        outside = any(_has_external(entry, _DEPTH) for entry in _messages(model, _GRAPH)) or any(
            _function_has_external(entry) for entry in _messages(model, _FUNCTION)
        )
    if outside:
        raise GantoolError(
            f"{graph} keeps weights in another file (external data); gantool runs only graphs with their weights "
            f"inside: gantool export {graph} -o g makes one"
        )


def read_metadata(graph: Path, data: bytes | mmap | None = None) -> Metadata:
    """Return the metadata of the generator, empty for a graph that gantool did not write.

    `data`: the bytes of the file, if they were already read. Raises GantoolError for a damaged file.
    """
    return Metadata.parse(_property(graph, METADATA_KEY, data), graph)


def read_json(graph: Path, key: str, data: bytes | mmap | None = None) -> dict[str, Any]:
    """Return the JSON object under `key` in the graph's metadata, {} if there is none.

    Raises GantoolError for a damaged file.
    """
    with _damage_of(graph, data or b""):
        value = parse_json(_property(graph, key, data))
        if not isinstance(value, dict):
            raise ValueError(f"its metadata under {key!r} are {short(value)}")
        return value


def low_of(graph: Path, data: bytes | mmap | None = None) -> object:
    """Return the low precision in the graph's recipe, "fp16" for example; None for FP32. It is not checked."""
    return read_json(graph, RECIPE_KEY, data).get("low")


def _property(graph: Path, key: str, data: bytes | mmap | None) -> bytes:
    data = graph.read_bytes() if data is None else data
    with _damage_of(graph, data):
        for entry in _messages(memoryview(data), _METADATA_PROPS):
            pair = {number: bytes(value) for number, value in _fields(entry) if isinstance(value, memoryview)}
            if pair.get(_KEY) == key.encode():
                return pair[_VALUE]
    return b"{}"


def with_json(graph: Path, data: bytes | mmap, key: str, value: dict[str, Any]) -> bytes:
    """Return the bytes of a graph with another JSON object under `key` in its metadata, all else as it was.

    Raises GantoolError for a damaged file, and if the graph has nothing under `key`.
    """
    parts, found = [], False
    with _damage_of(graph, data):
        for number, field in _fields(memoryview(data)):
            if number == _METADATA_PROPS and isinstance(field, memoryview):
                name = next(_messages(field, _KEY), b"")
                if bytes(name) == key.encode():
                    found = True
                    pair = _encoded(_KEY, name) + _encoded(_VALUE, json.dumps(value).encode())
                    parts.append(_encoded(number, pair))
                    continue
            parts.append(_encoded(number, field))
        if not found:
            raise ValueError(f"nothing under {key!r} in its metadata")
    return b"".join(parts)


def content(graph: Path, data: bytes | mmap) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a graph without its metadata, which have no effect on the library that runs it."""
    with _damage_of(graph, data):
        for number, value in _fields(memoryview(data)):
            if number != _METADATA_PROPS:
                yield f"{number} {value if isinstance(value, int) else len(value)} ".encode()
                if not isinstance(value, int):
                    yield value


def output_shape(graph: Path, data: bytes | mmap, name: str) -> list[int | None]:
    """Return the shape that a graph declares for its output `name`; None for a dynamic dimension."""
    with _damage_of(graph, data):
        return [_dim_value(dim) for dim in _of_output(data, name, (*_TENSOR_TYPE, *_SHAPE))]


def output_type(graph: Path, data: bytes | mmap, name: str) -> int | None:
    """Return the type that a graph declares for its output `name`, as UINT16, or None."""
    with _damage_of(graph, data):
        for kind in _of_output(data, name, _TENSOR_TYPE):
            for number, value in _fields(kind):
                if number == _ELEM_TYPE and isinstance(value, int):
                    return value & _32_BITS
    return None


def _of_output(data: bytes | mmap, name: str, path: Sequence[int]) -> list[memoryview]:
    """Return the messages inside the output `name` of a graph, at a path of field numbers."""
    for entry in _messages(memoryview(data), _GRAPH):
        for output in _messages(entry, _OUTPUT):
            if any(bytes(text) == name.encode() for text in _messages(output, 1)):
                found = [output]
                for number in path:
                    found = [inner for message in found for inner in _messages(message, number)]
                return found
    return []


def _dim_value(dim: memoryview) -> int | None:
    values = [value for number, value in _fields(dim) if number == _DIM_VALUE and isinstance(value, int)]
    return values[-1] if values else None


class _CutShortError(ValueError):
    """A field ends behind the end of its message, which has `actual` bytes and needs at least `needed`."""

    def __init__(self, actual: int, needed: int) -> None:
        super().__init__(f"a field of {needed:,} bytes runs over the end")
        self.actual, self.needed = actual, needed


@contextmanager
def _damage_of(graph: Path, data: bytes | mmap = b"") -> Iterator[None]:
    """Turn an error while `data`, the bytes of the file `graph`, are parsed into a GantoolError."""
    try:
        yield
    except _CutShortError as error:
        if error.actual == len(data):  # an outermost field; in a nested message it is damage
            raise GantoolError(
                f"{graph} is cut short or damaged: {error.actual:,} of at least {error.needed:,} bytes: copy it "
                "again"
            ) from error
        raise GantoolError(f"{graph} is damaged ({reason_of(error)}): copy or export it again") from error
    except _DAMAGE as error:
        raise GantoolError(f"{graph} is damaged ({reason_of(error)}): copy or export it again") from error


def _has_external(graph: memoryview, depth: int) -> bool:
    if not depth:
        raise ValueError(f"graphs are nested more than {_DEPTH} levels deep")
    return (
        any(map(_is_external, _messages(graph, _INITIALIZER)))
        or any(map(_sparse_is_external, _messages(graph, _SPARSE_INITIALIZER)))
        or any(_node_has_external(node, depth) for node in _messages(graph, _NODE))
    )


def _function_has_external(function: memoryview) -> bool:
    return any(_node_has_external(node, _DEPTH) for node in _messages(function, _FUNCTION_NODE)) or any(
        _attribute_has_external(attribute, _DEPTH) for attribute in _messages(function, _FUNCTION_ATTRIBUTE)
    )


def _node_has_external(node: memoryview, depth: int) -> bool:
    return any(_attribute_has_external(attribute, depth) for attribute in _messages(node, _ATTRIBUTE))


def _attribute_has_external(attribute: memoryview, depth: int) -> bool:
    return (
        any(map(_is_external, _messages(attribute, *_TENSORS)))
        or any(map(_sparse_is_external, _messages(attribute, *_SPARSE_TENSORS)))
        or any(_has_external(inner, depth - 1) for inner in _messages(attribute, *_GRAPHS))
    )


def _sparse_is_external(sparse: memoryview) -> bool:
    return any(map(_is_external, _messages(sparse, *_SPARSE_PARTS)))


def _is_external(tensor: memoryview) -> bool:
    return any(
        number == _DATA_LOCATION and isinstance(value, int) and value & _32_BITS == _EXTERNAL
        for number, value in _fields(tensor)
    )


def _messages(message: memoryview, *numbers: int) -> Iterator[memoryview]:
    """Yield the bytes of each field that has one of these numbers."""
    for number, value in _fields(message):
        if number in numbers and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the number of each field, and its bytes or its varint; skip fields of a fixed size."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = (tag & _32_BITS) >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
        elif wire == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise _CutShortError(len(message), position + length)
            yield number, message[position : position + length]
            position += length
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")


def _encoded(number: int, value: bytes | memoryview | int) -> bytes:
    """Return a field, as `_fields` reads it."""
    if isinstance(value, int):
        return _as_varint(number << 3) + _as_varint(value)
    return b"".join((_as_varint(number << 3 | 2), _as_varint(len(value)), value))


def _as_varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the varint at `position` (7 bits a byte, lowest first), and the position after it."""
    value = 0
    for shift in range(0, 70, 7):  # 64 bits have 10 bytes at most
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a varint of more than 10 bytes at byte {position}")

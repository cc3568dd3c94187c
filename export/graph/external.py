"""Read an ONNX file with external data, as torch writes it: g.onnx and g.onnx.data.

The graph names the data file, the offset and the length. They are not trusted: the file must lie in the graph's
folder or below, also after links are resolved, and hold all the bytes of the tensor's shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

import onnx

from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import short, sides

MAX_BYTES = (1 << 31) - 1  # of one protobuf message
_MORE = "copy the files together again, or export it again"


def read_model(path: Path) -> onnx.ModelProto:
    """Return the graph of `path` without external data; the file is read as binary whatever its suffix.

    Raises GantoolError if it is damaged.
    """
    return model_of(path, path.read_bytes())


def model_of(path: Path, data: bytes | mmap) -> onnx.ModelProto:
    """Return the graph of `data`, the file `path`. Raises GantoolError if it is damaged."""
    try:
        return onnx.load_from_string(data[:], format="protobuf")
    except Exception as error:  # protobuf's own class
        raise GantoolError(f"{path} is damaged ({short(_line(error), 200)}): {_MORE}") from error


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph as binary, whatever the name of `path`."""
    onnx.save(model, path, format="protobuf")


def load_whole(path: Path) -> onnx.ModelProto:
    """Return the graph of `path` with its external data loaded.

    Raises GantoolError if it is damaged, or if a data file is missing, too small or outside of the graph's folder.
    """
    model = read_model(path)
    left = MAX_BYTES - path.stat().st_size
    for tensor in tensors(model):
        if (least := min(tensor.dims, default=0)) < 0:
            raise GantoolError(
                f"{path} is damaged (weight {_quoted(tensor.name)} has a side of {least}): {_MORE}"
            )
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            data = _bytes_of(path, tensor, left)
            left -= len(data)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = data
        elif tensor.data_type in _FIELDS or tensor.HasField("raw_data"):
            _check_inside(path, tensor)
    return model


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model, with those of subgraphs and local functions, and sparse ones."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)
        for attribute in function.attribute_proto:
            yield from _of_attribute(attribute)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: list[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    yield from attribute.tensors
    for sparse in attribute.sparse_tensors:
        yield from (sparse.values, sparse.indices)
    if attribute.HasField("t"):
        yield attribute.t
    if attribute.HasField("sparse_tensor"):
        yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
    for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
        yield from _of_graph(graph)


def _bytes_of(path: Path, tensor: onnx.TensorProto, most: int) -> bytes:
    """Return the external data of a tensor, at most `most` bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    wanted = _size(path, tensor)
    if wanted > most:
        raise GantoolError(
            f"{path} has weights of more than 2 GiB, and one ONNX file cannot hold more: gantool takes smaller "
            "generators"
        )
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", wanted))
    except ValueError as error:
        raise GantoolError(
            f"{path} is damaged (it does not say in numbers where weight {_quoted(tensor.name)} lies): {_MORE}"
        ) from error
    file, name = _file_of(path, entries.get("location", ""))
    there = file.stat().st_size
    if length != wanted or offset < 0 or offset + length > there:
        raise GantoolError(
            f"{path} expects {wanted:,} bytes of weight {_quoted(tensor.name)} in {name}, and the file has "
            f"{there:,} bytes, which do not fit: {_MORE}"
        )
    with file.open("rb") as stream:
        stream.seek(offset)
        return bytes(stream.read(length))


def _check_inside(path: Path, tensor: onnx.TensorProto) -> None:
    """Raise GantoolError if a tensor inside the graph does not have the number of values of its shape."""
    if tensor.HasField("raw_data"):
        whole = len(tensor.raw_data) == _size(path, tensor)
    else:
        whole = len(getattr(tensor, _FIELDS[tensor.data_type])) == math.prod(tensor.dims)
    if not whole:
        raise GantoolError(
            f"{path} is damaged (weight {_quoted(tensor.name)} is [{sides(tensor.dims)}] and holds another "
            f"number of values): {_MORE}"
        )


def _file_of(path: Path, location: str | bytes) -> tuple[Path, str]:
    """Return the external data file at `location`, and its name for messages."""
    name, folder = short(location), path.parent.resolve()
    try:
        if not isinstance(location, str):  # protobuf gives text that is not UTF-8 as bytes
            raise ValueError("not text")
        if len(location) > _MAX_PATH:  # resolving takes time with the square of the parts
            raise ValueError("too long")
        file = (folder / location).resolve()
        inside, there = file.is_relative_to(folder), file.is_file()
    except (ValueError, OSError, RuntimeError) as error:  # a zero byte, too long, links in a circle
        raise GantoolError(
            f"{path} names a file for its weights that cannot exist ({_quoted(location)}): {_MORE}"
        ) from error
    if not location or not inside:
        raise GantoolError(
            f"{path} names a file for its weights, {_quoted(location)}, that is outside of its folder, and gantool "
            "reads only files beside the graph: put the file there itself, not a link, or export it again"
        )
    if not there:
        raise GantoolError(
            f"{path} has its weights in {name}, which is missing or not a file: put {name} beside the graph"
        )
    return file, name


def _size(path: Path, tensor: onnx.TensorProto) -> int:
    try:
        size = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError as error:
        raise GantoolError(
            f"{path} is damaged (weight {_quoted(tensor.name)} is of type {tensor.data_type}): {_MORE}"
        ) from error
    count: int = math.prod(tensor.dims)
    return -(-count * _PACKED.get(tensor.data_type, 8 * size) // 8)


def _quoted(text: str | bytes) -> str:
    return repr(short(text))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


_MAX_PATH = 4096  # characters that a file system takes
# The field of values that are not stored as raw_data, by type; one entry a value.
_FIELDS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float_data",
    onnx.TensorProto.DOUBLE: "double_data",
    onnx.TensorProto.INT64: "int64_data",
}
# Bits of the types that share a byte; an older onnx does not have all of them.
_PACKED: dict[int, int] = {
    getattr(onnx.TensorProto, name): bits
    for name, bits in (("UINT4", 4), ("INT4", 4), ("FLOAT4E2M1", 4), ("UINT2", 2), ("INT2", 2))
    if hasattr(onnx.TensorProto, name)
}

"""Read an ONNX file whose weights may lie in files beside it, as torch writes them: g.onnx and g.onnx.data.

Which file, and where in it, the graph itself says, so it is checked before it is believed: a file in the graph's
own folder or below it, also after links were followed, with all the bytes that the tensor's shape asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx

from gantool.runtime.errors import GantoolError

MAX_BYTES = (1 << 31) - 1  # of one protobuf message
_MORE = "copy the files together again, or export it anew"


def load_whole(path: Path) -> onnx.ModelProto:
    """Return the graph of `path` with all weights inside.

    Raises GantoolError if it is damaged, or if a weight is in a file that is missing, too small or elsewhere.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf has a class of its own
        raise GantoolError(f"{path} is damaged ({' '.join(str(error).split())[:200]}): {_MORE}") from error
    left = MAX_BYTES - path.stat().st_size
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            data = _bytes_of(path, tensor, left)
            left -= len(data)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = data
    return model


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model: also those of graphs in graphs, of local functions, and sparse ones."""
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
    """Return the bytes of a tensor outside of the graph `path`, at most so many."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    name = told.get("location", "")
    wanted = _size(path, tensor)
    try:
        offset, length = int(told.get("offset", 0)), int(told.get("length", wanted))
    except ValueError as error:
        raise GantoolError(
            f"{path} is damaged (where weight {tensor.name!r} lies: {error}): {_MORE}"
        ) from error
    folder = path.parent.resolve()
    file = (folder / name).resolve()
    if not name or not file.is_relative_to(folder):
        raise GantoolError(
            f"{path} says that its weights are in {name!r}, which is not in its folder, and only files "
            "beside the graph are read: merge the two where they are, with onnx.load and onnx.save"
        )
    if not file.is_file():
        raise GantoolError(f"{path} has its weights in {name}, which is missing: put {name} beside the graph")
    if length != wanted or offset < 0 or offset + length > file.stat().st_size:
        raise GantoolError(
            f"{path} asks for {wanted} bytes of {name} for weight {tensor.name!r}, from byte {offset} on, and the "
            f"file has {file.stat().st_size}: {_MORE}"
        )
    if length > most:
        raise GantoolError(f"{path} has weights of more than 2 GiB, which one ONNX file does not hold")
    with file.open("rb") as stream:
        stream.seek(offset)
        return bytes(stream.read(length))


def _size(path: Path, tensor: onnx.TensorProto) -> int:
    try:
        size = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError as error:
        raise GantoolError(
            f"{path} is damaged (weight {tensor.name!r} is of type {tensor.data_type}): {_MORE}"
        ) from error
    bits = 4 if tensor.data_type in _FOUR_BITS else 8 * size
    return -(-math.prod(map(int, tensor.dims)) * bits // 8)


_FOUR_BITS = tuple(
    getattr(onnx.TensorProto, name)
    for name in ("UINT4", "INT4", "FLOAT4E2M1")
    if hasattr(onnx.TensorProto, name)
)

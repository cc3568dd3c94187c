"""Simulate on a CPU a device that computes in the types of the graph.

ONNX Runtime's CPU provider has few kernels for FP16 and none for BF16. It computes an FP16 graph in FP32 and rounds
only at its ends, which hides every overflow. The simulation computes each FP16 or BF16 tensor in float32 and
rounds it to its type, like tensor cores that accumulate in float32. It does not reproduce the order of a GPU's
sums. Q/DQ pairs compute in float32 anyway and stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import ShapeInferencePass

from gantool.runtime.backends.quiet import run_options
from gantool.runtime.backends.session import open_session
from gantool.runtime.process.cpus import limit

Arrays = dict[str, NDArray[Any]]
_LOW = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def rounded_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return `graph` in float32, with each value rounded to its original type; names stay the same."""
    model = ir.from_proto(graph)
    ShapeInferencePass()(model)
    for weight in model.graph.initializers.values():
        if weight.dtype in _LOW and weight.const_value is not None:
            array = weight.const_value.numpy().astype(np.float32)
            weight.const_value = ir.tensor(array, name=weight.name)
            weight.dtype = ir.DataType.FLOAT
    for node in list(model.graph):
        for value in node.outputs:
            if value.dtype in _LOW:
                _round(model.graph, node, value)
    return ir.to_proto(model)


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Insert two Casts after a node: to the value's type and back to float32."""
    low, name, shape = value.dtype, str(value.name), value.shape
    value.name, value.dtype = f"{name}/exact", ir.DataType.FLOAT
    if node.op_type == "Cast":
        node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
    there = ir.node("Cast", [value], attributes={"to": low}, name=f"{name}/rounded")
    back = ir.node("Cast", there.outputs, attributes={"to": ir.DataType.FLOAT}, name=f"{name}/back")
    graph.insert_after(node, [there, back])
    there.outputs[0].name = f"{name}/rounded"
    (rounded,) = back.outputs
    rounded.name, rounded.type, rounded.shape = name, ir.TensorType(ir.DataType.FLOAT), shape
    for user, index in value.uses():
        if user is not there:
            user.replace_input_with(index, rounded)
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = rounded


def open_probed(graph: onnx.ModelProto, names: Collection[str]) -> Any:
    """Return a session that also outputs the values `names`. Adds them to the outputs of `graph`."""
    known = {value.name for value in graph.graph.output}
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    # Basic optimization: every value is an output, so little can be fused, and unusual graphs crash fused kernels.
    return open_session(graph.SerializeToString(), limit(), "ORT_ENABLE_BASIC")


class Simulation:
    """A session that outputs every value of a graph, each rounded to the type that the graph gives it."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        """Open the session."""
        strict = rounded_graph(graph)
        self.producers = {value: node.name for node in graph.graph.node for value in node.output if value}
        self.fixed_batch = int(graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value)  # 0: any
        self._session = open_probed(strict, self.producers)

    def run(self, feeds: Arrays, names: Collection[str], batch: int) -> Iterator[Arrays]:
        """Yield the values `names` by name, for `batch` rows of the feeds at a time.

        A graph with a fixed batch runs in that batch instead.

        The last batch is filled up with the first rows. Their part of the values is cut off again, except from
        values whose first axis is not the batch.
        """
        batch = self.fixed_batch or batch
        total = len(next(iter(feeds.values())))
        for start in range(0, total, batch):
            count = min(batch, total - start)
            taken = np.arange(start, start + batch) % total
            rows = {name: value[taken] for name, value in feeds.items()}
            values = self._session.run(list(names), rows, run_options())
            yield {
                name: value[:count] if value.ndim and len(value) == batch else value
                for name, value in zip(names, values, strict=True)
            }

    def activations(self, feeds: Arrays, batches: int, batch: int) -> list[Arrays]:
        """Return all values and inputs, by name, for the first `batches` batches of the feeds."""
        size = self.fixed_batch or batch
        found = []
        for index, values in enumerate(islice(self.run(feeds, list(self.producers), size), batches)):
            inputs = {name: value[index * size : (index + 1) * size] for name, value in feeds.items()}
            found.append({**values, **inputs})
        return found

"""Run a graph as a device that keeps to its types does, on any CPU.

ONNX Runtime's CPU provider has few kernels for FP16 and none for BF16: it computes whole graphs of FP16 in FP32 and
rounds only at the ends, which hides every overflow. Here each tensor that the graph gives a low type is computed
in float32 and rounded to that type, as tensor cores do that accumulate in float32. The order of a GPU's sums is
not shown. Q/DQ pairs are float32 by themselves and run as they are.
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


def emulated(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return `graph` in float32, with each value rounded to the type that it had; names stay."""
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
    """Put two Casts behind a node: to the value's type and back."""
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
    """Return a session that gives the values `names` as well. Adds them to the outputs of `graph`."""
    known = {value.name for value in graph.graph.output}
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    # Node by node, since each value is asked for; fused kernels are where ONNX Runtime goes wrong on odd graphs.
    return open_session(graph.SerializeToString(), limit(), "ORT_ENABLE_BASIC")


class Simulation:
    """A graph in a session that gives each of its values, rounded as a device that keeps to its types has them."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        """Open the session: one for all that is asked of the graph."""
        strict = emulated(graph)
        self.made = {value: node.name for node in graph.graph.node for value in node.output if value}
        self.fixed_batch = int(graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value)  # 0: any
        self._session = open_probed(strict, self.made)

    def run(self, feeds: Arrays, names: Collection[str], batch: int) -> Iterator[Arrays]:
        """Yield the values `names`, for `batch` rows of the feeds at a time; a graph of a fixed batch keeps to it.

        A batch that is not full is filled up from the first rows, and what was made of these is cut off again where
        the first axis is the batch; a scalar, or a value of all rows as one, stays whole.
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
        """Return every value for some batches of the feeds, by name, the graph's inputs too."""
        size = self.fixed_batch or batch
        found = []
        for index, values in enumerate(islice(self.run(feeds, list(self.made), size), batches)):
            inputs = {name: value[index * size : (index + 1) * size] for name, value in feeds.items()}
            found.append({**values, **inputs})
        return found

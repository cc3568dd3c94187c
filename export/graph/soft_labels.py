"""Make the label of a float graph soft: the shares of the classes, instead of the number of one class.

before: label int64 [N]             -> Gather(embedding) -> [N, E]
after:  label float32 [N, classes]  -> MatMul(embedding) -> [N, E]

The first floats that a generator computes from the label alone have one row a class, whatever computes them: an
embedding, several of them (BigGAN's), or one-hot rows. Running this part of the graph for every class gives these
rows, and a product with the shares mixes them. One-hot shares give exactly the rows. The shares of one-hot rows are
the label itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from gantool.export.graph.names import MIX
from gantool.export.precision.simulate import open_probed
from gantool.runtime.backends.quiet import run_options
from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import short


def soften(model: ir.Model, classes: int) -> None:
    """Replace the input label, int64 [N], of a float graph by float32 [N, classes], in place.

    Raises GantoolError if the generator computes with the number of a class instead of embedding it.
    """
    ShapeInferencePass()(model)
    label = next(value for value in model.graph.inputs if value.name == "label")
    embedded = list(_embedded(model, label))
    tables = _tables(model, label, embedded, classes)
    soft = ir.Value(
        name="label",
        type=ir.TensorType(ir.DataType.FLOAT),
        shape=ir.Shape([(label.shape or [None])[0], classes]),
    )
    model.graph.inputs[list(model.graph.inputs).index(label)] = soft
    for number, (value, table) in enumerate(zip(embedded, tables, strict=True)):
        mixed = _mixed(model, soft, table, number)
        for user, index in list(value.uses()):
            user.replace_input_with(index, mixed)
    RemoveUnusedNodesPass()(model)
    ShapeInferencePass()(model)


def _embedded(model: ir.Model, label: ir.Value) -> Iterator[ir.Value]:
    """Yield the first floats that are computed from the label alone. Raises GantoolError if z is in them, too."""
    numbers = {label}  # integers and booleans that are computed from the label
    others = set(model.graph.inputs) - {label}  # and whatever is computed from z
    for node in model.graph:
        read = {value for value in node.inputs if value is not None}
        if not read.isdisjoint(others):
            others.update(node.outputs)
        if read.isdisjoint(numbers):
            continue
        if not read.isdisjoint(others):
            raise _refused(node)
        yield from (value for value in node.outputs if value.dtype == ir.DataType.FLOAT)
        numbers.update(value for value in node.outputs if value.dtype != ir.DataType.FLOAT)


def _tables(
    model: ir.Model, label: ir.Value, embedded: list[ir.Value], classes: int
) -> list[NDArray[np.float32]]:
    """Return the rows of all classes, [classes, ...], of each of the values. Raises GantoolError."""
    names = [str(value.name) for value in embedded]
    part = ir.from_proto(ir.to_proto(model))
    part.graph.outputs[:] = [value for node in part.graph for value in node.outputs if value.name in names]
    RemoveUnusedNodesPass()(part)
    part.graph.inputs[:] = [value for value in part.graph.inputs if value.name == "label"]
    session = open_probed(ir.to_proto(part), names)
    batch = (label.shape or [None])[0]
    rows = batch if isinstance(batch, int) else classes
    parts = []
    for start in range(0, classes, rows):
        numbers = np.arange(start, start + rows, dtype=np.int64) % classes
        parts.append(session.run(names, {"label": numbers}, run_options()))
    found = []
    for value, pieces in zip(embedded, zip(*parts, strict=True), strict=True):
        if any(piece.ndim < 2 or len(piece) != rows or piece[0].size < 2 for piece in pieces):
            raise _refused(value.producer())  # the number itself, as a float
        found.append(np.concatenate(pieces)[:classes])
    return found


def _mixed(model: ir.Model, label: ir.Value, table: NDArray[np.float32], number: int) -> ir.Value:
    """Return the rows of a table, mixed by the shares in `label`."""
    classes, *rest = table.shape
    flat, mixed, nodes = table.reshape(classes, -1), label, list[ir.Node]()
    if not np.array_equal(flat, np.eye(classes)):
        nodes.append(_node(model, "MatMul", mixed, flat, f"{MIX}_{number}"))
        mixed = nodes[-1].outputs[0]
    if len(rest) > 1:
        nodes.append(_node(model, "Reshape", mixed, np.array([-1, *rest]), f"{MIX}_{number}_shaped"))
        mixed = nodes[-1].outputs[0]
    model.graph.insert_before(model.graph[0], nodes)
    return mixed


def _node(
    model: ir.Model, operator: str, value: ir.Value, constant: NDArray[np.generic], name: str
) -> ir.Node:
    tensor = ir.tensor(constant, name=f"{name}_by")
    other = ir.Value(
        name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(constant.shape), const_value=tensor
    )
    model.graph.register_initializer(other)
    node = ir.node(operator, [value, other], name=name)
    node.outputs[0].name, node.outputs[0].type = name, ir.TensorType(ir.DataType.FLOAT)
    return node


def _refused(node: ir.Node | None) -> GantoolError:
    what = "it" if node is None else f"node {short(str(node.name))} ({node.op_type})"
    return GantoolError(
        f"`soft_labels` needs a generator that embeds its label or takes it one-hot: in this one, {what} computes "
        "with the number of a class, which cannot be mixed; leave `soft_labels` out"
    )

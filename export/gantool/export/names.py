"""Keep the names that the contract of a graph, and gantool's own nodes, go by free of what else is in a graph."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

TAIL = "uint8_tail"  # prefix of the tail's node names; the precision pass leaves these in FP32
TAKEN = ("z", "label", "images", "images_float")


def free_names(model: ir.Model, but: Collection[ir.Value | None] = ()) -> None:
    """Rename, in place, each value and node that has a name of gantool's, other than the values `but`."""
    kept = {id(value) for value in but}
    for node in model.graph.all_nodes():
        if str(node.name).startswith(f"{TAIL}/"):
            node.name = f"inner/{node.name}"
    graphs = [model.graph, *model.graph.subgraphs()]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    values += [value for node in model.graph.all_nodes() for value in node.outputs]
    for value in values:
        if id(value) not in kept and (value.name in TAKEN or str(value.name).startswith(f"{TAIL}/")):
            value.name = f"inner/{value.name}"

"""Keep the names that the contract of a graph, and gantool's own nodes, go by free of what else is in a graph."""

from __future__ import annotations

from collections.abc import Collection, Container

import onnx_ir as ir

TAIL = "uint8_tail"  # prefix of the tail's node names; the precision pass leaves these in FP32
TAKEN = ("z", "label", "images", "images_float", "images_in_range")
# What gantool adds to a graph of others is under one of these, but for TAKEN.
PREFIXES = tuple(f"{each}/" for each in ("z", "label", "images", "range", TAIL))


def free_names(model: ir.Model, but: Collection[ir.Value | None] = ()) -> None:
    """Rename, in place, each value and node that has a name of gantool's, other than the values `but`."""
    kept = {id(value) for value in but}
    named: list[ir.Value | ir.Node] = [*_values(model), *model.graph.all_nodes()]
    used = {str(each.name) for each in named}
    for each in named:
        name = str(each.name)
        if id(each) in kept or not (
            name.startswith(PREFIXES) or (name in TAKEN and isinstance(each, ir.Value))
        ):
            continue
        each.name = unused(f"inner/{name}", used)
        used.add(each.name)


def unused(name: str, used: Container[str]) -> str:
    """Return `name`, or with the first number behind it that makes it a name not yet used."""
    count, free = 0, name
    while free in used:
        count += 1
        free = f"{name}_{count}"
    return free


def names_of(model: ir.Model) -> set[str]:
    """Return the names of all values, those of subgraphs too."""
    return {str(value.name) for value in _values(model)}


def _values(model: ir.Model) -> list[ir.Value]:
    graphs = [model.graph, *model.graph.subgraphs()]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    return values + [value for node in model.graph.all_nodes() for value in node.outputs]

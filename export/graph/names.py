"""Keep the names that the contract of a graph, and gantool's own nodes, go by free of what else is in a graph."""

from __future__ import annotations

from collections.abc import Collection, Container
from itertools import chain, count

import onnx_ir as ir

TAIL = "uint8_tail"  # prefix of the tail's node names; the precision pass leaves these in FP32
TAKEN = ("z", "label", "images", "images_float", "images_in_range")
# What gantool adds to a graph of others is under one of these, but for TAKEN.
PREFIXES = tuple(f"{each}/" for each in ("z", "label", "images", "range", TAIL))


def free_names(model: ir.Model, but: Collection[ir.Value | None] = ()) -> None:
    """Rename, in place, each value and node that has a name which gantool gives, other than the values `but`.

    The passes that follow name what they add after what is there, x/fp16 after x. So nothing may be called as
    another value or node is, with more behind a slash: ONNX wants a name once among values, and ONNX Runtime among
    nodes too.
    """
    kept = {id(value) for value in but}
    named: list[ir.Value | ir.Node] = [*_values(model), *model.graph.all_nodes()]
    used = {str(each.name) for each in named}
    first = frozenset(used)
    for each in named:
        name = str(each.name)
        after = any(name[:at] in first for at in range(1, len(name)) if name[at] == "/")
        taken = name.startswith(PREFIXES) or (isinstance(each, ir.Value) and name in TAKEN)
        if id(each) not in kept and (after or taken):
            each.name = _unused("inner." + name.replace("/", "."), used)
            used.add(each.name)


def _unused(name: str, used: Container[str]) -> str:
    """Return `name`, or with the first number behind it that makes it a name not yet used."""
    return next(free for free in chain([name], (f"{name}.{n}" for n in count(1))) if free not in used)


def _values(model: ir.Model) -> list[ir.Value]:
    graphs = [model.graph, *model.graph.subgraphs()]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    return values + [value for node in model.graph.all_nodes() for value in node.outputs]

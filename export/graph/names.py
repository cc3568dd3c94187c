"""Reserve the names of the graph contract and of gantool's own nodes: rename whatever else has them."""

from __future__ import annotations

from collections.abc import Collection, Container
from itertools import chain, count

import onnx_ir as ir

TAIL = "uint8_tail"  # prefix of the names of nodes that turn floats into uint8
TAIL_16 = "uint16_tail"  # or into uint16
STRAIGHT = "straight_tail"  # and of those that turn premultiplied into straight RGBA
MIX = "label/mix"  # and of those that mix the embeddings of classes
TAKEN = ("z", "label", "images", "images_float", "images_in_range", "images_premultiplied")
# All other names that gantool adds to a graph from elsewhere start with one of these.
PREFIXES = tuple(f"{each}/" for each in ("z", "label", "images", "range", STRAIGHT, TAIL, TAIL_16))


def in_tail(node: str | None) -> bool:
    """Return whether a node belongs to a tail, by its name. The precision pass leaves these in FP32."""
    return str(node).startswith((f"{TAIL}/", f"{TAIL_16}/", f"{STRAIGHT}/"))


def free_names(model: ir.Model, but: Collection[ir.Value | None] = ()) -> None:
    """Rename, in place, each value and node whose name gantool needs, except the values `but`.

    Later passes derive new names from existing ones: x/fp16 from x. So no name may extend another one by a slash.
    ONNX requires unique names of values, and ONNX Runtime also of nodes.
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
    """Return `name`, with the first free number appended if it is used already."""
    return next(free for free in chain([name], (f"{name}.{n}" for n in count(1))) if free not in used)


def _values(model: ir.Model) -> list[ir.Value]:
    graphs = [model.graph, *model.graph.subgraphs()]
    values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    return values + [value for node in model.graph.all_nodes() for value in node.outputs]

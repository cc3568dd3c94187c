"""The ranges of a generator that was trained in INT8. Its FP32 graph has them by node; they replace calibration."""

from __future__ import annotations

import json
from collections.abc import Iterable

import onnx_ir as ir

from gantool.export.artifact import Graph
from gantool.export.precision.quantize import quantizable_nodes
from gantool.runtime.artifacts.onnx import LIMITS_KEY, read_json
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata, is_limit


def write_limits(model: ir.Model, metadata: Metadata) -> None:
    """Write the ranges in the metadata into a float graph, each to its layer. Call it before any lowering.

    A checkpoint has them in the order of computing, which is that of the nodes of its graph. Raises GantoolError if
    there is not one for each layer.
    """
    limits = metadata.int8_limits
    if not limits:
        return
    layers = quantizable_nodes(model)
    if len(limits) != len(layers):
        raise metadata.wrong("int8_limits", f"a number for each of {len(layers)} layers")
    by_node = {str(node.name): limit for node, limit in zip(layers, limits, strict=True)}
    model.metadata_props[LIMITS_KEY] = json.dumps(by_node)


def trained_limits(graph: Graph, layers: Iterable[ir.Node]) -> dict[str, float]:
    """Return the layers of an FP32 graph that were trained in INT8, each with the range of its data.

    {} if the generator was not trained in INT8. A lowering makes several nodes of a layer, and names them after it.
    """
    limits = read_json(graph.path, LIMITS_KEY, graph.data)
    if not all(map(is_limit, limits.values())):
        found = f"in its metadata, {LIMITS_KEY!r} holds other things than positive numbers"
        raise GantoolError(f"{graph.path} is damaged ({found}): copy it again, or make it again")
    names = [str(node.name) for node in layers]
    return {
        name: limit
        for layer, limit in limits.items()
        for name in names
        if name == layer or name.startswith(f"{layer}/")
    }

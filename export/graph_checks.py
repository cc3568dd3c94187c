"""Checks of a graph besides the gate: onnx.checker, sparse weights, and the share of FP32."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import onnx.inliner

from gantool.export.artifact import Graph
from gantool.export.graph.external import model_of
from gantool.export.graph.layers import layers_of, shapes_of
from gantool.export.macs import shares
from gantool.runtime.backends.session import LEVELS
from gantool.runtime.errors import GantoolError, VerificationError
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.terminal import listed, message_of

_log = logging.getLogger(__name__)

MAX_FP32 = 0.75  # share of the multiply-adds that may stay in FP32 in a graph of another precision


def inlined(graph: Graph) -> onnx.ModelProto:
    """Return a graph with its local functions inlined. Raises GantoolError if it has sparse weights."""
    full = model_of(graph.path, graph.data)
    if full.graph.sparse_initializer:
        names = listed((weight.values.name for weight in full.graph.sparse_initializer), 3)
        raise GantoolError(
            f"{graph.path} has sparse weights ({names}), which gantool does not read: export it with dense weights"
        )
    return onnx.inliner.inline_local_functions(full) if full.functions else full


def check_share(graph: onnx.ModelProto, low: str) -> None:
    """Raise VerificationError if more than MAX_FP32 of the multiply-adds stay in FP32."""
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    share = shares(layers_of(inferred, shapes_of(inferred))).get("FLOAT", 0)
    if share > MAX_FP32:
        raise VerificationError(
            f"{share:.1%} of the multiply-adds would stay in FP32, so this is hardly {low.upper()}: try `bf16`, "
            "which holds large numbers, or name the nodes that should stay with `keep_fp32`. Nothing was written"
        )


def check_graph(model: onnx.ModelProto, target: Path) -> Graph:
    """Run onnx.checker on a graph; warn if ONNX Runtime crashes on it at full optimization."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GantoolError(f"onnx.checker refuses {target.name}: {message_of(error, 300)}") from error
    graph = Graph.of_data(target, model.SerializeToString())
    if graph.recipe.on_cpu and (level := level_that_works(target, graph.data)) != LEVELS[0]:
        _log.warning(
            f"{target.name}: ONNX Runtime crashes on it with {LEVELS[0]}, so gantool runs it with {level}"
        )
    return graph

"""FP16 written into the graph: the engine's numerics are those of the graph it is built from.

Weights and the arithmetic between become FP16; `z` stays float32 at the door, and the uint8 tail computes in
float32, where the steps of FP16 (1/8 of a grey level near white) would flip levels for nothing.
"""

from __future__ import annotations

import warnings

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxconverter_common import float16
from onnxscript.optimizer import fold_constants

from gantool.export.graph import TAIL

FP16_TINY, FP16_MAX = 2.0**-24, 65504.0


def to_fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of an FP32 graph that computes in FP16, with the same inputs and outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each weight that is rounded to the edge of FP16's range
        converted = float16.convert_float_to_float16(
            graph,
            keep_io_types=True,
            node_block_list=[node.name for node in graph.graph.node if node.name.startswith(f"{TAIL}/")],
            min_positive_val=FP16_TINY,
            max_finite_val=FP16_MAX,
        )
    model = ir.from_proto(converted)
    fold_constants(model)  # the tail's constants were cast to FP16 and back
    RemoveUnusedNodesPass()(model)
    half: onnx.ModelProto = ir.to_proto(model)
    return half


def is_fp16(graph: onnx.ModelProto) -> bool:
    """Tell whether weights of the graph are FP16."""
    return any(weight.data_type == onnx.TensorProto.FLOAT16 for weight in graph.graph.initializer)

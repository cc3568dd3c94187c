"""Simplify a graph without changing its values.

onnxscript's optimizer, which torch's exporter runs too, matches constants within a tolerance: its rule for `x + 0`
also removes `x + 1e-8`, and the one for `x * 1` also `x * 1.000001`. A generator that normalizes by
`x / sqrt(mean(x²) + 1e-8)` then divides by zero. This module uses only rules that match no arithmetic constant.

It also folds large weights: with spectral norm or an equalized learning rate, a graph computes its weights in each
run, and the precision pass would not see them as weights. It does not fold a constant that only makes the file
larger, as a number repeated for each pixel.
"""

from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir.passes import Sequential
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    DeduplicateInitializersPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    LiftSubgraphInitializersToMainGraphPass,
    NameFixPass,
    OutputFixPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules import common

# Values in a tensor, 256 MiB in float32. Folding holds inputs and outputs in memory, beside the graph.
MAX_FOLDED = 1 << 26
# Values, 1 MiB in float32. A constant up to this size may be larger than the inputs of its node.
_SMALL = 1 << 18
_RULES = (
    common.dropout_zero_rule,
    common.dropout_inference_rule,
    common.no_op_cast_rule,
    common.no_op_expand_rule,
    common.no_op_transpose_rule,
    common.collapse_slice_rule,
    common.collapse_slice2_rule,
    common.materialize_reshape_shape_rule,
    common.reshape_reshape_rule,
    common.squeeze_reshape_1d_rule,
    common.transpose_transpose_rule,
    common.unsqueeze_unsqueeze_rule,
    common.one_reshape_matmul_reshape_rule,
    common.two_reshapes_matmul_reshape_rule,
    common.fuse_pad_into_conv_rule,
    common.fuse_batchnorm_into_conv_rule,
    common.fuse_batchnorm_into_conv_transpose_rule,
    common.fuse_batchnorm_into_gemm_rule,
    common.remove_optional_bias_from_conv_rule,
    common.remove_optional_bias_from_conv_transpose_rule,
    common.remove_optional_bias_from_gemm_rule,
)


def simplify(model: ir.Model) -> None:
    """Inline functions, fold constants and remove nodes without effect, in place."""
    InlinePass()(model)
    for _ in range(2):  # a rewrite may leave constants to fold
        fold_constants_ir(
            model,
            onnx_shape_inference=True,
            input_size_limit=MAX_FOLDED,
            output_size_limit=MAX_FOLDED,
            should_fold=_should_fold,
        )
        rewrite(model, pattern_rewrite_rules=list(_RULES))
    Sequential(
        RemoveUnusedNodesPass(),
        RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        RemoveUnusedOpsetsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        LiftSubgraphInitializersToMainGraphPass(),
        DeduplicateInitializersPass(),
        CommonSubexpressionEliminationPass(),
        OutputFixPass(),
        NameFixPass(),
    )(model)


def _should_fold(node: ir.Node) -> bool | None:
    """Return False for a node that more than doubles its inputs; None leaves it to the usual rules."""
    read = sum(
        value.const_value.size for value in node.inputs if value is not None and value.const_value is not None
    )
    made = sum(_numbers(value) for value in node.outputs)
    return False if made > max(2 * read, _SMALL) else None


def _numbers(value: ir.Value) -> int:
    sides = list(value.shape or ())
    return math.prod(side for side in sides if isinstance(side, int)) if sides else 0

"""Fold BatchNorm into the layer before it, in FP32, so that the precision pass need not treat it separately.

onnxscript's rules fold it into a convolution, transposed convolution or Gemm directly before. The generator's
"project and reshape" has a Reshape in between; the rule here first moves BatchNorm above it:

    BatchNorm(Reshape(y)) = Reshape(BatchNorm'(y)),  y [N, C·h·w], Reshape(y) [N, C, h, w]

where the parameters of BatchNorm', [C·h·w], are those of BatchNorm, [C], each repeated h·w times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRuleClassBase, rewrite
from onnxscript.rewriter.rules.common import (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)


def fold_batchnorm(model: ir.Model) -> None:
    """Fold in place. A BatchNorm that no rule matches stays."""
    rewrite(model, pattern_rewrite_rules=[_BatchNormAboveReshape.rule()])  # type: ignore[no-untyped-call]
    rewrite(
        model,
        pattern_rewrite_rules=[
            fuse_batchnorm_into_conv_rule,
            fuse_batchnorm_into_conv_transpose_rule,
            fuse_batchnorm_into_gemm_rule,
        ],
    )


class _BatchNormAboveReshape(RewriteRuleClassBase):
    # onnxscript calls these with the values that the pattern names; its own types are Any
    def pattern(self, op: Any, y: Any, shape: Any) -> Any:
        reshaped = op.Reshape(y, shape, _allow_other_attributes=True, _outputs=["reshaped"])
        return op.BatchNormalization(
            reshaped, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["normalized"]
        )

    def check(self, context: Any, y: Any, reshaped: Any, normalized: Any, **_: Any) -> MatchResult:  # type: ignore[override]
        del context
        result = MatchResult()
        if any(parameter.const_value is None for parameter in normalized.producer().inputs[1:]):
            return result.fail("a parameter of BatchNorm is not constant")
        match list(y.shape or []), list(reshaped.shape or []):
            case [_, int(columns)], [_, int(channels), int(height), int(width)] if (
                columns == channels * height * width
            ):
                return result
        return result.fail(f"{y.shape} to {reshaped.shape} is not [N, C·h·w] to [N, C, h, w]")

    def rewrite(self, op: Any, y: Any, shape: Any, reshaped: Any, normalized: Any) -> Any:
        _, _, height, width = reshaped.shape
        repeated = [
            op.initializer(
                ir.tensor(np.repeat(parameter.const_value.numpy(), height * width)),  # [C] -> [C·h·w]
                name=f"{reshaped.name}/{role}",  # two parameters may be one tensor: all zeros, say
            )
            for role, parameter in zip(
                ("scale", "bias", "mean", "var"), normalized.producer().inputs[1:], strict=True
            )
        ]
        above = op.BatchNormalization(y, *repeated, **normalized.producer().attributes)
        return op.Reshape(above, shape, **reshaped.producer().attributes)

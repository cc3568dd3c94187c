"""The graph: a trained generator as one ONNX model, z in, images out.

Input  z       float32 [N, latent]
Output images  uint8 [N, H, W, C], or float32 [N, C, H, W] in [-1, 1]

Weights are inside, N is dynamic, BatchNorm is folded, and `metadata_props["gantool"]` carries the metadata of
the checkpoint. Passes change an `onnx_ir.Model` in place.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, cast

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from gantool.export.fold import fold_batchnorm
from gantool.export.lowering import Lowering, lower
from gantool.runtime.errors import GantoolError

if TYPE_CHECKING:
    from gantool.models import Checkpoint

TAIL = "uint8_tail"  # prefix of the tail's node names; the precision pass leaves these in FP32


def graph_from_checkpoint(
    checkpoint: Checkpoint, opset: int, output: str = "uint8", lowering: str = "none"
) -> onnx.ModelProto:
    """Export the generator of a checkpoint. Raises GantoolError where torch or the lowering cannot."""
    model = _export(checkpoint, opset)
    fold_batchnorm(model)
    if left := [node.name for node in model.graph if node.op_type == "BatchNormalization"]:
        raise GantoolError(f"BatchNorm could not be folded into the layer before {', '.join(map(str, left))}")
    if refused := lower(model, cast("Lowering", lowering)).refused:
        reasons = "; ".join(f"{node}: {reason}" for node, reason in refused)
        raise GantoolError(
            f"--lowering {lowering} does not fit this network ({reasons}): use another, or none"
        )
    ClearMetadataAndDocStringPass()(model)  # torch's own hold stack traces with paths of this machine
    if output == "uint8":
        add_uint8_tail(model)
    model.graph.name = str(checkpoint.metadata["architecture"])
    model.metadata_props["gantool"] = json.dumps(checkpoint.metadata)
    model.producer_name, model.producer_version = "gantool", str(checkpoint.metadata["gantool"])
    return ir.to_proto(model)


def _export(checkpoint: Checkpoint, opset: int) -> ir.Model:
    """Return the float graph: z -> images, float32 [N, C, H, W]."""
    import torch

    z = torch.zeros(2, checkpoint.generator.config.latent)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)  # torchvision is not there, opset 17 is made by conversion: no news
        try:
            program = torch.onnx.export(
                checkpoint.generator,
                (z,),
                input_names=["z"],
                output_names=["images"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
        finally:
            logging.disable(logging.NOTSET)
    if program is None or program.model.opset_imports[""] != opset:
        raise GantoolError(f"torch {torch.__version__} cannot export to opset {opset}: choose --opset 18")
    return program.model


def add_uint8_tail(model: ir.Model) -> None:
    """Turn the output from float32 [N, C, H, W] in [-1, 1] into uint8 [N, H, W, C].

    x * 127.5 + 128, clipped to 0..255, transposed, cast: in this order, since TensorRT takes uint8 only as a
    network's output and its cast is undefined outside [0, 256).
    """
    (images,) = model.graph.outputs
    batch, channels, height, width = images.shape or ir.Shape([])
    images.name = "images_float"
    value = images  # [N, C, H, W]
    for name, operator, constants, attributes in (
        ("scale", "Mul", [127.5], {}),
        ("shift", "Add", [128.0], {}),
        ("clip", "Clip", [0.0, 255.0], {}),
        ("to_nhwc", "Transpose", [], {"perm": [0, 2, 3, 1]}),  # [N, H, W, C]
        ("to_uint8", "Cast", [], {"to": ir.DataType.UINT8}),
    ):
        value = _append(model.graph, f"{TAIL}/{name}", operator, value, constants, attributes)
    value.name, value.type = "images", ir.TensorType(ir.DataType.UINT8)
    value.shape = ir.Shape([batch, height, width, channels])
    model.graph.outputs[0] = value


def _append(
    graph: ir.Graph,
    name: str,
    operator: str,
    value: ir.Value,
    constants: list[float],
    attributes: dict[str, Any],
) -> ir.Value:
    """Append a node that takes `value` and scalar constants; return its output."""
    inputs = [value]
    for index, constant in enumerate(constants):
        tensor = ir.tensor(constant, ir.DataType.FLOAT, name=f"{name}_{index}")
        initializer = ir.Value(
            name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape([]), const_value=tensor
        )
        graph.register_initializer(initializer)
        inputs.append(initializer)
    node = ir.node(operator, inputs, attributes=attributes, name=name)
    graph.append(node)
    (output,) = node.outputs
    output.name = name
    return output

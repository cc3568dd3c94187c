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
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from gantool.export.fold import fold_batchnorm
from gantool.export.lowering import lower
from gantool.export.names import TAIL, free_names
from gantool.export.options import Lowering
from gantool.export.simplify import simplify
from gantool.runtime.errors import GantoolError

if TYPE_CHECKING:
    from gantool.export.sources import Source


def float_graph(source: Source, opset: int) -> ir.Model:
    """Export a generator: z [N, latent] (and label [N]) -> images, float32 [N, C, H, W], BatchNorm folded.

    Raises GantoolError where torch cannot, or where a BatchNorm has no layer before it to go into.
    """
    model = _export(source, opset)
    simplify(model)
    free_names(model, (*model.graph.inputs, *model.graph.outputs))
    fold_batchnorm(model)
    ClearMetadataAndDocStringPass()(model)  # torch's own hold stack traces with paths of this machine
    return model


def finish(model: ir.Model, metadata: dict[str, Any], lowering: Lowering, output: str) -> onnx.ModelProto:
    """Lower a float graph, give it the uint8 tail and its metadata. Changes `model`; returns it as a file has it.

    Raises GantoolError where the lowering does not fit.
    """
    if refused := lower(model, lowering).refused:
        reasons = "; ".join(f"{node}: {reason}" for node, reason in refused)
        raise GantoolError(
            f"--lowering {lowering} does not fit this network ({reasons}): use another, or none"
        )
    if output == "uint8":
        add_uint8_tail(model)
    model.graph.name = str(metadata["architecture"])
    model.metadata_props["gantool"] = json.dumps(metadata)
    model.producer_name, model.producer_version = "gantool", str(metadata["gantool"])
    return ir.to_proto(model)


def _export(source: Source, opset: int) -> ir.Model:
    """Return the float graph: z -> images, float32 [N, C, H, W]."""
    import torch

    inputs = source.inputs(range(2))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)  # torchvision is not there, opset 17 is made by conversion: no news
        try:
            program = torch.onnx.export(
                source.module,
                inputs,
                input_names=["z", "label"][: len(inputs)],
                output_names=["images"],
                dynamic_shapes=tuple({0: torch.export.Dim("N")} for _ in inputs),
                opset_version=opset,
                dynamo=True,
                optimize=False,  # see simplify
                verbose=False,
            )
        except Exception as error:  # torch wraps whatever its tracing meets, a signal too
            if isinstance(error.__cause__, KeyboardInterrupt) or isinstance(
                error.__context__, KeyboardInterrupt
            ):
                raise KeyboardInterrupt from error
            raise GantoolError(
                f"torch {torch.__version__} cannot export this generator: {str(error).splitlines()[0][:300]}"
            ) from error
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

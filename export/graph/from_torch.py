"""Export a PyTorch generator to one ONNX graph.

Inputs z       float32 [N, latent]
       label   int64 [N], of a conditional generator
Output images  uint8 [N, H, W, C], uint16 [N, H, W, 1], or float32 [N, C, H, W] in [-1, 1]

Weights are inside, N is dynamic, BatchNorm is folded, and `metadata_props["gantool"]` carries the metadata of
the checkpoint. Passes change an `onnx_ir.Model` in place.
"""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from gantool.export.graph.cause import cause_of
from gantool.export.graph.fold_batchnorm import fold_batchnorm
from gantool.export.graph.lowering import lower
from gantool.export.graph.names import TAIL, TAIL_16, free_names
from gantool.export.graph.simplify import simplify
from gantool.export.options import NATIVE_OPSET, Foreign, Lowering
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.outputs.images import TAILS
from gantool.runtime.process.terminal import short

if TYPE_CHECKING:
    from gantool.export.graph.sources import LoadedGenerator

_log = logging.getLogger(__name__)

# Domain of nodes that the opset converter must not change: older opsets have them in the same form.
_SAME = "gantool.same"


def float_graph(source: LoadedGenerator, opset: int, exactly: bool) -> ir.Model:
    """Export a generator: z [N, latent] (and label [N]) -> images, float32 [N, C, H, W], BatchNorm folded.

    If the generator needs a newer opset than `opset`, the graph gets NATIVE_OPSET, unless `exactly` is set.
    Raises GantoolError if torch cannot export it, or if it needs a newer opset and `exactly` is set.
    """
    model = _export(source, max(opset, NATIVE_OPSET))
    simplify(model)
    free_names(model, (*model.graph.inputs, *model.graph.outputs))
    if opset < NATIVE_OPSET:
        model = _in_older_opset(model, opset, exactly)
    add_range(model, source.foreign)
    if source.premultiplied:
        from gantool.export.graph.straight import add_straight

        add_straight(model)
    fold_batchnorm(model)
    ClearMetadataAndDocStringPass()(model)  # torch writes stack traces with local paths
    return model


def finish(model: ir.Model, metadata: Metadata, lowering: Lowering, output: str) -> onnx.ModelProto:
    """Lower a float graph in place, append the tail of `output`, add the metadata, and return it as protobuf.

    Raises GantoolError if the lowering does not fit.
    """
    if refused := lower(model, lowering).refused:
        reasons = "; ".join(f"{short(node)}: {reason}" for node, reason in refused)
        raise GantoolError(
            f"`lowering` {lowering} does not fit this network ({reasons}): choose another, or none"
        )
    if output != "float":
        add_tail(model, 16 if output == "uint16" else 8)
    model.graph.name = metadata.architecture
    model.metadata_props["gantool"] = json.dumps(metadata.to_json())
    model.producer_name, model.producer_version = "gantool", metadata.gantool
    return ir.to_proto(model)


def _export(source: LoadedGenerator, opset: int) -> ir.Model:
    """Run torch.onnx.export: z (and label) -> images, float32 [N, C, H, W]."""
    import torch

    inputs = source.inputs(range(2))
    silence = io.StringIO()  # torch prints whole programs
    with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)  # torch logs that torchvision is missing
        try:
            program = torch.onnx.export(
                source.network,
                inputs,
                input_names=["z", "label"][: len(inputs)],
                output_names=["images"],
                dynamic_shapes=tuple({0: torch.export.Dim("N")} for _ in inputs),
                opset_version=opset,
                dynamo=True,
                optimize=False,  # see simplify
                verbose=False,
            )
        except Exception as error:  # torch wraps every error of the tracing, KeyboardInterrupt too
            if isinstance(error.__cause__, KeyboardInterrupt) or isinstance(
                error.__context__, KeyboardInterrupt
            ):
                raise KeyboardInterrupt from error
            raise GantoolError(
                f"torch {torch.__version__} cannot export this generator: {cause_of(error, of_export=True)}"
            ) from error
        finally:
            logging.disable(logging.NOTSET)
    if program is None or program.model.opset_imports[""] != opset:
        raise GantoolError(
            f"torch {torch.__version__} cannot export this generator to opset {opset}: leave out `opset`, or give "
            f"`opset` {NATIVE_OPSET}"
        )
    batch, *_ = program.model.graph.inputs[0].shape or ir.Shape([None])
    if isinstance(batch, int):
        _log.warning(
            f"the graph takes batches of {batch} and no other: the module uses the batch as a Python number, as "
            "len(z) gives it; with z.shape[0], it takes any"
        )
    return program.model


def _in_older_opset(model: ir.Model, opset: int, exactly: bool) -> ir.Model:
    """Return the graph in `opset`, or unchanged, with a warning, if `opset` lacks an operator.

    Raises GantoolError instead if `exactly` is set.
    """
    try:
        return _converted(model, opset)
    except Exception as error:  # C++ errors, without a class of their own
        found = re.search(r"(?:for|of|resize) (\w+)|(Resize antialias)", str(error), re.IGNORECASE)
        operator = next((group for group in (found.groups() if found else ()) if group), "an operator")
        lacks = f"opset {opset} lacks what this generator needs ({operator})"
        if exactly:
            raise GantoolError(f"{lacks}: `opset` {NATIVE_OPSET} works, or leave `opset` out") from error
    _log.warning(
        f"{lacks}, so the graph has opset {NATIVE_OPSET}: TensorRT 10 and newer, TensorRT-RTX and ONNX Runtime "
        "read it, TensorRT 8 (JetPack 6.0) does not"
    )
    return model


def _converted(model: ir.Model, opset: int) -> ir.Model:
    """Convert a graph from torch.onnx.export to an older opset. Raises the errors of converter and checker."""
    model = ir.from_proto(ir.to_proto(model))  # a copy
    for node in model.graph:
        if node.op_type.startswith("Reduce") and not node.attributes.get_int("noop_with_empty_axes", 0):
            node.attributes.pop("noop_with_empty_axes", None)  # the default; older opsets lack the attribute
        if node.op_type == "Split":
            _name_sizes(model.graph, node)
        if node.op_type == "Split" or (node.op_type == "Pad" and len(node.inputs) <= 3):
            node.domain = _SAME
    model.opset_imports[_SAME] = 1
    model = ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), opset))
    for node in model.graph:
        node.domain = "" if node.domain == _SAME else node.domain
    model.opset_imports.pop(_SAME, None)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return model


def _name_sizes(graph: ir.Graph, node: ir.Node) -> None:
    """Give a Split its sizes as an input instead of `num_outputs`, which opset 17 lacks."""
    count = node.attributes.pop("num_outputs", None)
    if count is None or len(node.inputs) > 1:
        return
    assert node.inputs[0] is not None
    side = (node.inputs[0].shape or ir.Shape([]))[node.attributes.get_int("axis", 0)]
    if not isinstance(side, int):
        raise GantoolError("No adapter for Split")
    step = -(-side // count.as_int())  # the last may be smaller
    sizes = [step] * (count.as_int() - 1) + [side - step * (count.as_int() - 1)]
    tensor = ir.tensor(sizes, ir.DataType.INT64, name=f"{node.name}/split")
    value = ir.Value(
        name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape([len(sizes)]), const_value=tensor
    )
    graph.register_initializer(value)
    node.resize_inputs(2)
    node.replace_input_with(1, value)


def add_range(model: ir.Model, foreign: Foreign) -> None:
    """Scale the output to [-1, 1] by --range and --clamp; `probe.to_unit_range` does the same to an array."""
    factor, shift = foreign.scale
    steps = [("scale", "Mul", [factor]), ("shift", "Add", [shift])] if (factor, shift) != (1, 0) else []
    steps += [("clamp", "Clip", [-1.0, 1.0])] if foreign.clamp else []
    if not steps:
        return
    (images,) = model.graph.outputs
    value, shape, name = images, images.shape, images.name
    images.name = "images_in_range"
    for step, operator, constants in steps:
        value = _append(model.graph, value, _Step(f"range/{step}", operator, constants))
    value.name, value.type, value.shape = name, ir.TensorType(ir.DataType.FLOAT), shape
    model.graph.outputs[0] = value


def add_tail(model: ir.Model, bits: int) -> None:
    """Turn the output from float32 [N, C, H, W] in [-1, 1] into uint8 or uint16 [N, H, W, C].

    x * 127.5 + 128, clipped to 0..255, transposed, cast: in this order, since TensorRT supports uint8 only as a
    network's output, and its cast is undefined outside [0, 256). `to_levels` does the same to an array.
    """
    prefix, (scale, shift, white) = {8: TAIL, 16: TAIL_16}[bits], TAILS[bits]
    kind = ir.DataType.UINT8 if bits == 8 else ir.DataType.UINT16
    (images,) = model.graph.outputs
    batch, channels, height, width = images.shape or ir.Shape([])
    images.name = "images_float"
    value = images  # [N, C, H, W]
    for step in (
        _Step(f"{prefix}/scale", "Mul", [scale]),
        _Step(f"{prefix}/shift", "Add", [shift]),
        _Step(f"{prefix}/clip", "Clip", [0.0, white]),
        _Step(f"{prefix}/to_nhwc", "Transpose", [], {"perm": [0, 2, 3, 1]}),  # [N, H, W, C]
        _Step(f"{prefix}/to_uint{bits}", "Cast", [], {"to": kind}),
    ):
        value = _append(model.graph, value, step)
    value.name, value.type = "images", ir.TensorType(kind)
    value.shape = ir.Shape([batch, height, width, channels])
    model.graph.outputs[0] = value


class _Step(NamedTuple):
    """A node to append: one input, scalar constants and attributes."""

    name: str
    operator: str
    constants: Sequence[float]
    attributes: Mapping[str, Any] = {}


def _append(graph: ir.Graph, value: ir.Value, step: _Step) -> ir.Value:
    """Append a node that takes `value`; return its output."""
    inputs = [value]
    for index, constant in enumerate(step.constants):
        tensor = ir.tensor(constant, ir.DataType.FLOAT, name=f"{step.name}_{index}")
        initializer = ir.Value(
            name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape([]), const_value=tensor
        )
        graph.register_initializer(initializer)
        inputs.append(initializer)
    node = ir.node(step.operator, inputs, attributes=step.attributes, name=step.name)
    graph.append(node)
    (output,) = node.outputs
    output.name = step.name
    return output

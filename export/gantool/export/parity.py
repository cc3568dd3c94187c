"""Proof that a graph makes the images of its reference, in ONNX Runtime, before anything is announced."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gantool.runtime import Generator, VerificationError
from gantool.runtime.images import to_uint8
from gantool.runtime.seeds import latents
from gantool.runtime.spec import Images, Latents

SEEDS = range(64)
FP32_MAX_DIFFERENCE = 1  # grey levels
FP16_MIN_PSNR = 40.0  # dB, of the worst image


@dataclass(frozen=True)
class Parity:
    """How far images are from their reference."""

    psnr: float  # dB, of the worst image; infinite if all are equal
    max_difference: int  # grey levels

    def __str__(self) -> str:
        psnr = "equal" if math.isinf(self.psnr) else f"PSNR {self.psnr:.1f} dB"
        return f"{psnr}, largest difference {self.max_difference} of 255"


def compare(reference: Images, images: Images) -> Parity:
    """Compare images, uint8 [N, H, W, C], with their reference."""
    difference = np.abs(images.astype(np.int16) - reference)  # [N, H, W, C]
    worst = np.square(difference, dtype=np.float64).mean((1, 2, 3)).max()
    psnr = 10 * math.log10(255**2 / worst) if worst else math.inf
    return Parity(psnr, int(difference.max()))


def check_fp32(graph: Path, reference: Images) -> Parity:
    """Raise VerificationError unless `graph` equals the reference within 1 grey level everywhere."""
    parity = _run(graph, reference)
    if parity.max_difference > FP32_MAX_DIFFERENCE:
        raise VerificationError(
            f"the FP32 graph differs from the checkpoint: {parity}; expected at most {FP32_MAX_DIFFERENCE}. "
            "Nothing was written. This is a bug of the export: report it with the checkpoint"
        )
    return parity


def check_fp16(graph: Path, reference: Images) -> Parity:
    """Raise VerificationError unless `graph` is within 40 dB PSNR of the reference on every image."""
    parity = _run(graph, reference)
    if parity.psnr < FP16_MIN_PSNR:
        raise VerificationError(
            f"the FP16 graph differs too much: {parity}; expected at least {FP16_MIN_PSNR:g} dB on each of "
            f"{len(SEEDS)} seeds. Nothing was written; export without --fp16, or train longer or with a lower "
            "--lr, since weights this large are rarely meant"
        )
    return parity


def _run(graph: Path, reference: Images) -> Parity:
    """Compare the graph with the reference as ONNX Runtime runs it, and as a device that keeps to its types."""
    with Generator.load(graph, provider="cpu") as generator:
        spec = generator.spec
        whole = compare(reference, generator.images(SEEDS))
    model = onnx.load(graph)
    batch = spec.max_batch or 16
    parts = []
    for start in range(0, len(SEEDS), batch):
        z = latents(SEEDS[start : start + batch], spec.latent, spec.distribution)
        padded = np.pad(z, ((0, batch - len(z)), (0, 0)))  # a graph may have a fixed batch
        parts.append(run_by_node(model, padded)[: len(z)])
    strict = compare(reference, np.concatenate(parts))
    return Parity(min(whole.psnr, strict.psnr), max(whole.max_difference, strict.max_difference))


def run_by_node(model: onnx.ModelProto, z: Latents) -> Images:
    """Run a graph one node at a time, so that each tensor truly has the type that the graph gives it.

    ONNX Runtime's CPU provider has few kernels for FP16: it computes whole graphs of it in FP32 and rounds only at
    the ends, which hides every overflow. A GPU does not. Raises VerificationError, with the node's name, at the
    first NaN or infinity, which uint8 images could not show. Returns uint8 [N, H, W, C].
    """
    import onnxruntime  # Generator.load has said so if it is not there

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    values = {weight.name: onnx.numpy_helper.to_array(weight) for weight in model.graph.initializer}
    values["z"] = z
    uses = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        inputs = {name: values[name] for name in node.input if name}
        session = onnxruntime.InferenceSession(
            _model_of(node, inputs, model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs = dict(zip(node.output, session.run(None, inputs), strict=True))
        for name, value in outputs.items():
            if bad := int((~np.isfinite(value)).sum()):
                raise VerificationError(
                    f"{bad:,} of {value.size:,} values of {name} (node {node.name}, {node.op_type}, {value.dtype}) "
                    "are NaN or infinite: they leave the range of their type. Nothing was written; export without "
                    "--fp16, or train with a lower --lr"
                )
        values.update(outputs)
        uses.subtract(node.input)
        for name in inputs:
            if not uses[name]:  # its last use: large images would fill the memory
                del values[name]
    images = values["images"]
    return images if images.dtype == np.uint8 else to_uint8(images)


def _model_of(
    node: onnx.NodeProto, inputs: dict[str, NDArray[Any]], whole: onnx.ModelProto
) -> onnx.ModelProto:
    """Return a model of one node."""
    given = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in inputs.items()
    ]
    made = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = onnx.helper.make_graph([node], "node", given, made)
    return onnx.helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)

"""Proof that a graph makes the images of its reference, in ONNX Runtime, before anything is announced."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gantool.export.graph import TAIL
from gantool.runtime import Generator, VerificationError
from gantool.runtime.seeds import latents
from gantool.runtime.spec import Images

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
    with Generator.load(graph, provider="cpu") as generator:
        images = generator.images(SEEDS)
    floats = _float_images(graph)
    if bad := int((~np.isfinite(floats)).sum()):
        raise VerificationError(
            f"the graph gives NaN or infinity in {bad:,} of {floats.size:,} values: its numbers leave the range "
            "of its type. Nothing was written; export without --fp16, or train with a lower --lr"
        )
    return compare(reference, images)


def _float_images(path: Path) -> NDArray[np.floating[Any]]:
    """Run the graph up to its uint8 tail: float [64, C, H, W]. uint8 cannot tell NaN from black."""
    import onnxruntime  # Generator.load has said so if it is not there

    model = onnx.load(path)
    name = "images_float" if any(node.name.startswith(TAIL) for node in model.graph.node) else "images"
    if name != "images":
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with Generator.load(path, provider="cpu") as generator:
        spec = generator.spec
    (floats,) = session.run([name], {"z": latents(SEEDS, spec.latent, spec.distribution)})
    return np.asarray(floats)

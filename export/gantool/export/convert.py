"""Make the ONNX graphs, FP32 and FP16, and prove each against the one before it. No TensorRT here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from gantool.export.lowering import LOWERINGS
from gantool.export.parity import SEEDS, Parity, check_fp16, check_fp32
from gantool.export.precision import is_fp16, to_fp16
from gantool.runtime import GantoolError, Generator, UsageError
from gantool.runtime.images import to_uint8
from gantool.runtime.seeds import latents
from gantool.runtime.spec import Images

Note = Callable[[str], None]
RUNS = Path("runs")


def graph_of_checkpoint(
    source: Path | None, target: Path, opset: int, output: str, lowering: str, note: Note
) -> Images:
    """Write the FP32 graph of a checkpoint (None: of the newest run) to `target`; return its own images.

    These are uint8 [64, H, W, C], of the seeds that parity is measured on. Raises VerificationError if the
    graph's images are others.
    """
    if lowering not in LOWERINGS:
        raise UsageError(f"--lowering {lowering}: choose {', '.join(LOWERINGS)}")

    import torch

    from gantool.export.graph import graph_from_checkpoint
    from gantool.models import CHECKPOINT_NAME, load_checkpoint, newest_checkpoint

    source = source or newest_checkpoint(RUNS)
    if source.is_dir():  # a run
        source = source / CHECKPOINT_NAME
    checkpoint = load_checkpoint(source)
    network = checkpoint.generator.config
    note(
        f"{source}: {network.architecture}, {network.size}×{network.size}×{network.channels}, latent "
        f"{network.latent} {network.distribution}, {checkpoint.metadata['images_seen'] / 1000:.1f} kimg of "
        f"{checkpoint.metadata['data']}"
    )
    with torch.no_grad():
        z = torch.from_numpy(latents(SEEDS, network.latent, network.distribution))
        reference = to_uint8(checkpoint.generator(z).numpy())
    _write(graph_from_checkpoint(checkpoint, opset, output, lowering), target)
    _announce(target, "PyTorch", check_fp32(target, reference), note)
    return reference


def images_of_graph(source: Path) -> Images:
    """Return the images, uint8 [64, H, W, C], that an ONNX graph makes of the seeds of parity."""
    with Generator.load(source, provider="cpu") as generator:
        return generator.images(SEEDS)


def fp16_graph(source: Path, target: Path, reference: Images, note: Note) -> None:
    """Write `source` in FP16 to `target`. Raises VerificationError if its images are under 40 dB PSNR."""
    graph = onnx.load(source)
    if is_fp16(graph):
        raise GantoolError(f"{source} computes in FP16 already: leave out --fp16")
    _write(to_fp16(graph), target)
    _announce(target, "FP32", check_fp16(target, reference), note)


def _write(graph: onnx.ModelProto, target: Path) -> None:
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GantoolError(f"onnx.checker refuses {target.name}: {' '.join(str(error).split())}") from error
    onnx.save(graph, target)


def _announce(target: Path, other: str, parity: Parity, note: Note) -> None:
    note(f"{target.name} against {other} on {len(SEEDS)} seeds: {parity}")

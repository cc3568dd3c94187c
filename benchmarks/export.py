"""Export and build times, sizes and PSNR by precision, on this machine: writes benchmarks/export.md.

Times are given as ratios to the FP32 row of the same network in the same run, beside the seconds of that row.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from gantool.export import stages
from gantool.export.engine.build import build
from gantool.export.engine.options import BuildOptions
from gantool.export.options import ExportOptions, Lowering, Precision
from gantool.models import PRESETS, Generator, save_checkpoint

NETWORKS = ("dcgan28", "dcgan32", "dcgan64", "dcgan128", "dcgan5-32")
PRECISIONS = {
    "fp32": Precision(),
    "fp16": Precision("fp16"),
    "bf16": Precision("bf16"),
    "int8": Precision(int8=True),
    "int8+fp16": Precision("fp16", int8=True),
}
HERE = Path(__file__).parent


def checkpoint(name: str, folder: Path) -> Path:
    """Write a generator of a preset's own width whose weights keep the size of what they read."""
    torch.manual_seed(0)
    generator = Generator(PRESETS[name])
    for layer in generator.modules():
        if isinstance(layer, (nn.ConvTranspose2d, nn.Linear)):
            taps = 4 * layer.in_channels if isinstance(layer, nn.ConvTranspose2d) else layer.in_features
            nn.init.normal_(layer.weight, 0, taps**-0.5)
    with torch.no_grad():
        for _ in range(20):
            generator.train()(torch.randn(16, PRESETS[name].latent))
    save_checkpoint(folder / "c.safetensors", generator.eval(), 0, "random weights")
    return folder / "c.safetensors"


def rows(name: str) -> list[str]:
    """Measure one network in every precision."""
    lines: list[str] = []
    base = (0.0, 0.0)
    for label, precision in PRECISIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            source, path, plan = (
                checkpoint(name, Path(folder)),
                Path(folder) / "g.onnx",
                Path(folder) / "g.plan",
            )
            # TensorRT-RTX has no BF16 deconvolution
            lowering: Lowering = "subpixel" if label == "bf16" else "none"
            started = time.perf_counter()
            options = ExportOptions(lowering=lowering, precision=precision)
            made = stages.from_torch(source, path, options)
            if precision.requested:
                made = stages.reduce_precision(made, precision, path.with_name("low"))
            path = made.graph.save(path.parent)
            exported = time.perf_counter()
            plan.write_bytes(build(made.graph, "rtx", BuildOptions()).plan)
            times = exported - started, time.perf_counter() - exported
            base = base if lines else times
            psnr = made.graph.parity.to_json()["psnr"]
            parity = "equal" if psnr is None else f"PSNR {psnr:.1f} dB"
            sizes = f"{path.stat().st_size / 2**20:.2f} | {plan.stat().st_size / 2**20:.2f}"
            seconds = "" if lines else f"export {base[0]:.1f} s, build {base[1]:.1f} s"
            ratios = f"{times[0] / base[0]:.2f} | {times[1] / base[1]:.2f}"
            lines.append(f"| {name} | {label} | {lowering} | {ratios} | {sizes} | {parity} | {seconds} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Write benchmarks/export.md."""
    rows("dcgan16")  # the first export of a process imports half of torch
    head = (
        "| network | precision | lowering | export | build | graph MiB | plan MiB | worst image | seconds |"
    )
    table = [head, "| --- " * 9 + "|", *(row for name in NETWORKS for row in rows(name))]
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "onnx", "onnxruntime", "tensorrt_rtx_cu13")
    )
    text = f"""# Export, by precision

Written by `make bench-export` on {platform.machine()}, {torch.get_num_threads()} threads, Python
{platform.python_version()}, {libraries}. Random weights that keep the size of what they read; presets at their
own width. Times are ratios to the FP32 row of the same network and run, the proof on 64 seeds included; builds are
those of TensorRT-RTX on the CPU. PSNR is that of the worst of 64 images against FP32 (in the FP32 row, PyTorch).

"""
    (HERE / "export.md").write_text(text + "\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

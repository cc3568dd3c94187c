"""The runtime against plain loops, on this machine: writes benchmarks/runtime.md and its plots.

Every rate stands beside that of a baseline measured in the same run, round about; figures are medians of rounds.
A machine that other programs use shows in the spread, which is given.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import distribution, distributions
from pathlib import Path

import matplotlib
import numpy as np
import onnxruntime
import openvino
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from export import checkpoint
from gantool.models import load_checkpoint
from gantool.runtime import Generator
from gantool.runtime.generator import load_backend
from gantool.runtime.pool import cores
from gantool.runtime.seeds import latents
from gantool.runtime.spec import Images
from gantool.runtime.writer import Written, target, writer

matplotlib.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).parent
LATENT, BATCHES, ROUNDS = 100, (1, 8, 64), 9
PLAIN = "plain ONNX Runtime loop"
Run = Callable[[Iterable[np.ndarray]], Iterator[Images]]  # images [n, H, W, C] of each z [n, 100], in order
BARE = """
import sys, numpy, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
z = numpy.random.RandomState(0).randn(1, 100).astype("float32")
Image.fromarray(session.run(None, {"z": z})[0][0].squeeze()).save(sys.argv[2])
"""


def gantool(*arguments: object, cwd: Path) -> list[str]:
    """Run the command line; return what it wrote to stderr, and its most memory in MiB."""
    command = [sys.executable, "-m", "gantool.cli", *map(str, arguments)]
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=cwd, check=True, capture_output=True, text=True
    )
    return [result.stderr, result.stdout]


def engines(folder: Path, preset: str) -> tuple[dict[str, Run], float]:
    """Return what makes images, by name, all from one checkpoint, and the GFLOP of an image."""
    source = checkpoint(preset, folder)
    # as torch.onnx exports it; what OpenVINO is fastest with
    for name, *flags in (("g", "--int8"), ("phases", "--int8", "--lowering", "phases")):
        gantool("export", source, "--engine", "none", "-o", name, *flags, cwd=folder)
    session = onnxruntime.InferenceSession(folder / "g.onnx", providers=["CPUExecutionProvider"])
    network = load_checkpoint(source).generator.eval()
    compiled = torch.compile(network)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, LATENT))

    def of_torch(model: Callable[[torch.Tensor], torch.Tensor]) -> Run:
        def run(z: np.ndarray) -> Images:
            with torch.inference_mode():
                x = model(torch.from_numpy(z))  # [N, C, H, W] in [-1, 1]
                return (
                    (x * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
                )

        return partial(map, run)

    def of_gantool(graph: str, provider: str) -> Run:
        backend = load_backend(folder / graph, provider)
        return lambda zs: backend.infer_each((z, None) for z in zs)

    request = openvino.Core().compile_model(folder / "g.onnx", "CPU").create_infer_request()
    found: dict[str, Run] = {
        PLAIN: partial(map, lambda z: session.run(None, {"z": z})[0]),
        "PyTorch eager": of_torch(network),
        "PyTorch compile": of_torch(compiled),
        "plain OpenVINO loop": partial(map, lambda z: request.infer({"z": z})["images"].copy()),
        "gantool": of_gantool("g.onnx", "cpu"),
        "gantool, INT8": of_gantool("g.int8.onnx", "cpu"),
        "gantool, OpenVINO": of_gantool("g.onnx", "openvino"),
        "gantool, OpenVINO, `--lowering phases`": of_gantool("phases.onnx", "openvino"),
        "gantool, OpenVINO, `--lowering phases`, INT8": of_gantool("phases.int8.onnx", "openvino"),
    }
    return found, counter.get_total_flops() / 1e9


def matrix_product() -> float:
    """Return GFLOP/s of PyTorch's product of BF16 matrices, the best of ten."""
    left = right = torch.randn(2048, 2048).bfloat16()
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best / 1e9


def rates(runs: dict[str, Run]) -> dict[str, dict[int, list[float]]]:
    """Return images/s of each round, by engine and batch."""
    found: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in BATCHES} for name in runs}
    for batch in BATCHES:
        z = latents(range(batch), LATENT)
        for number in range(ROUNDS + 1):
            for name, run in runs.items():
                started = time.perf_counter()
                images = sum(map(len, run(repeated(z, started + 0.3))))
                if number:  # the first warms up
                    found[name][batch].append(images / (time.perf_counter() - started))
    return found


def repeated(z: np.ndarray, end: float) -> Iterator[np.ndarray]:
    """Yield z until then, at least twice."""
    yield z
    yield z
    while time.perf_counter() < end:
        yield z


def table_of_rates(found: dict[str, dict[int, list[float]]], psnr: dict[str, float]) -> Iterator[str]:
    """Yield the lines of the first table: ratios to the plain loop."""
    yield "| | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " | PSNR |"
    yield "| --- " * (len(BATCHES) + 2) + "|"
    for name, of_batch in found.items():
        cells = []
        for batch in BATCHES:
            ratios = [one / base for one, base in zip(of_batch[batch], found[PLAIN][batch], strict=True)]
            middle, low, high = np.percentile(ratios, (50, 10, 90))
            rate = statistics.median(of_batch[batch])
            cells.append(f"{rate:.0f}/s" if name == PLAIN else f"{middle:.2f} ({low:.2f} to {high:.2f})")
        quality = f"{psnr[name]:.1f} dB" if np.isfinite(psnr[name]) else "reference"
        yield f"| {name} | " + " | ".join(cells) + f" | {quality} |"


def psnr(runs: dict[str, Run]) -> dict[str, float]:
    """Return dB of the worst of 64 images against PyTorch's."""
    z = latents(range(64), LATENT)
    images = {name: next(iter(run([z, z]))).astype(float) for name, run in runs.items()}
    reference = images["PyTorch eager"]
    errors = {name: ((one - reference) ** 2).mean((1, 2, 3)).max() for name, one in images.items()}
    return {name: 10 * np.log10(255**2 / error) if error else np.inf for name, error in errors.items()}


def with_files(folder: Path, count: int = 512) -> dict[str, list[float]]:
    """Return images/s with nothing written, with PNG files by gantool, and by a plain loop."""
    out = folder / "files"
    session = onnxruntime.InferenceSession(folder / "g.onnx", providers=["CPUExecutionProvider"])
    found: dict[str, list[float]] = {"engine only": [], "PNG files": [], "plain loop with PNG files": []}
    out.mkdir(exist_ok=True)
    with Generator.load(folder / "g.onnx", "cpu") as generator:

        def nothing() -> None:
            for _ in generator.generate(range(count)):
                pass

        def files() -> None:
            aim = target(out, "png", None, None, None, 1)
            with writer(aim, iter(range(count)), count, generator.spec, Written()) as write:
                for images in generator.generate(range(count)):
                    write(images)

        def plain() -> None:
            for start in range(0, count, 64):
                z = [np.random.RandomState(seed).randn(LATENT) for seed in range(start, start + 64)]
                for n, image in enumerate(session.run(None, {"z": np.stack(z).astype(np.float32)})[0]):
                    Image.fromarray(image.squeeze()).save(out / f"plain{start + n}.png")

        for number in range(ROUNDS // 2 + 1):
            for name, work in zip(found, (nothing, files, plain), strict=True):
                started = time.perf_counter()
                work()
                if number:
                    found[name].append(count / (time.perf_counter() - started))
    return found


def start_up(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return seconds of CPU and of the clock of each start, to one image on disk, or to the help."""
    commands = {
        "bare script": ["-c", BARE, "g.onnx", "bare.png"],
        "gantool generate": ["-m", "gantool.cli", "generate", "-e", "g.onnx", "--seeds", "0", "-o", "x"],
        "gantool --help": ["-m", "gantool.cli", "--help"],
        "import torch": ["-c", "import torch"],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, arguments in commands.items():
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if number:
                found[name].append((used, ended - started))
    return found


def growth(folder: Path) -> list[tuple[int, float, float]]:
    """Return (images, images/s, MiB) of `gantool generate` to one array."""
    found = []
    for count in (100, 1_000, 10_000, 100_000):
        started = time.perf_counter()
        flags = (
            "generate",
            "-e",
            "g.onnx",
            "--seeds",
            f"0-{count - 1}",
            "--format",
            "npy",
            "--provider",
            "cpu",
        )
        _, peak = gantool(*flags, cwd=folder)
        found.append((count, count / (time.perf_counter() - started), float(peak)))
    return found


def installed(*names: str) -> float:
    """Return MiB of these distributions and of all that they need, in this environment."""
    known = {item.metadata["Name"].lower().replace("_", "-"): item for item in distributions()}
    todo, seen = list(names), set()
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen or name not in known:
            continue
        seen.add(name)
        needs = [
            need for need in known[name].requires or [] if "extra ==" not in need and "_system" not in need
        ]
        todo.extend(re.split(r"[^\w.-]", need)[0] for need in needs)
    files = (known[name].locate_file(file) for name in seen for file in known[name].files or [])
    return sum(Path(str(file)).stat().st_size for file in files if Path(str(file)).is_file()) / 2**20


def plot(found: dict[str, dict[int, list[float]]], grown: list[tuple[int, float, float]]) -> None:
    """Write benchmarks/runtime.png."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    width = 0.8 / len(found)
    for index, (name, of_batch) in enumerate(found.items()):
        heights = [statistics.median(of_batch[b]) / statistics.median(found[PLAIN][b]) for b in BATCHES]
        left.bar(np.arange(len(BATCHES)) + index * width, heights, width, label=name)
    left.set_xticks(np.arange(len(BATCHES)) + 0.4 - width / 2, [f"batch {batch}" for batch in BATCHES])
    left.set_ylabel("images/s, plain ONNX Runtime loop = 1")
    left.set_ylim(0, left.get_ylim()[1] * 1.3)  # room for the legend
    left.legend(fontsize=8, ncols=2, loc="upper left")
    counts, speeds, memory = zip(*grown, strict=True)
    right.semilogx(counts, memory, "o-", color="tab:red")
    right.set_ylim(0, max(memory) * 1.15)
    right.set_ylabel("most memory, MiB", color="tab:red")
    right.set_xlabel("images of one command, 32×32 pixels")
    second = right.twinx()
    second.semilogx(counts, speeds, "s--", color="tab:blue")
    second.set_ylim(0)
    second.set_ylabel("images/s, start included", color="tab:blue")
    figure.tight_layout()
    figure.savefig(HERE / "runtime.png", dpi=80)


def main() -> None:
    """Write benchmarks/runtime.md."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as text:
        folder, small = Path(text) / "64", Path(text) / "32"
        for each in (folder, small):
            each.mkdir()
        runs, gflop = engines(folder, "dcgan64")
        found, quality, files, peak = rates(runs), psnr(runs), with_files(folder), matrix_product()
        starts = start_up(folder)
        gantool("export", checkpoint("dcgan32", small), "--engine", "none", cwd=small)
        grown = growth(small)
    plot(found, grown)
    print(json.dumps({"rates": found, "files": files, "starts": starts, "growth": grown}), file=sys.stderr)
    names = ("numpy", "onnxruntime", "pillow", "typer", "torch")
    libraries = ", ".join(f"{name} {distribution(name).version}" for name in names)
    only, png, loop = (statistics.median(files[name]) for name in files)
    plain = statistics.median(found[PLAIN][64])
    bare_cpu, bare_wall = (statistics.median(one) for one in zip(*starts["bare script"], strict=True))
    lines = [
        "# Runtime",
        "",
        f"Written by `make bench` on {platform.machine()}, {cores()} cores, Python {platform.python_version()},",
        f"{libraries};",
        f"load {load:.1f} at the start (1 is one core busy with something else).",
        f"Random weights; rates are medians of {ROUNDS} rounds in which all take turns, in brackets the tenth and",
        "the ninetieth percentile.",
        "",
        "![Rates by batch; memory and rate by number of images](runtime.png)",
        "",
        "## Engine only, 64×64 pixels, as ratios to the plain loop in the same round",
        "",
        *table_of_rates(found, quality),
        "",
        "PSNR is that of the worst of 64 images against PyTorch. OpenVINO computes in BF16 where the CPU has it. "
        f"An image takes {gflop:.2f} GFLOP and PyTorch's product of BF16 matrices reaches {peak:.0f} GFLOP/s here: "
        f"in BF16 more than {peak / gflop / plain:.1f} times the plain loop at batch 64 is not to be had of this CPU.",
        "",
        "## With PNG files",
        "",
        "| | images/s | of engine only |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {statistics.median(each):.0f} | {statistics.median(each) / only:.2f} |"
            for name, each in files.items()
        ),
        "",
        f"The engine uses all {cores()} cores, so each image that is encoded takes its time from it: "
        f"{(1 / png - 1 / only) * 1e3:.2f} ms an image here, {(1 / loop - 1 / only) * 1e3:.2f} ms in the plain "
        "loop.",
        "",
        "## Start",
        "",
        "| | CPU | clock | of the bare script |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {cpu:.2f} s | {wall:.2f} s | {cpu / bare_cpu:.2f}, {wall / bare_wall:.2f} |"
            for name, each in starts.items()
            for cpu, wall in [map(statistics.median, zip(*each, strict=True))]
        ),
        "",
        "The bare script imports numpy, onnxruntime and Pillow, opens the graph and saves one image.",
        "",
        "## Memory and rate by number of images, 32×32 pixels, into one array",
        "",
        "| images | images/s, start included | most memory |",
        "| --- | --- | --- |",
        *(f"| {count:,} | {rate:.0f} | {peak:.0f} MiB |" for count, rate, peak in grown),
        "",
        "## Installed",
        "",
        f"gantool[cpu] with all that it needs: {installed('numpy', 'pillow', 'typer', 'onnxruntime'):.0f} MiB; "
        f"PyTorch with all that it needs: {installed('torch'):.0f} MiB.",
    ]
    (HERE / "runtime.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The runtime against plain loops, on this machine: writes benchmarks/runtime.md and its plots.

Every rate stands beside that of a baseline measured in the same run, round about; figures are medians of rounds.
A machine that other programs use shows in the spread, which is given.
"""

from __future__ import annotations

import json
import multiprocessing
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

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
from gantool.runtime.files import write_whole
from gantool.runtime.generator import load_backend
from gantool.runtime.items import Item, Items
from gantool.runtime.latents import latents
from gantool.runtime.outputs.base import Target
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.outputs.image_files import ImageFiles
from gantool.runtime.process.cpus import cores
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.seeds import Seeds, seed_name
from gantool.runtime.spec import Batch, Images

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
    command = [sys.executable, "-m", "gantool", *map(str, arguments)]
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=cwd, check=True, capture_output=True, text=True
    )
    return [result.stderr, result.stdout]


# By name, the graph and what runs it: as torch.onnx exports it, or as one of the two is fastest with.
GRAPHS = {
    "gantool": ("g.onnx", "cpu"),
    "gantool, `--lowering cpu`": ("cpu.onnx", "cpu"),
    "gantool, `--lowering cpu`, INT8": ("cpu.int8.onnx", "cpu"),
    "gantool, OpenVINO": ("g.onnx", "openvino"),
    "gantool, OpenVINO, `--lowering phases`": ("phases.onnx", "openvino"),
    "gantool, OpenVINO, `--lowering phases`, INT8": ("phases.int8.onnx", "openvino"),
}
LOOPS = (PLAIN, "PyTorch eager", "PyTorch compile", "plain OpenVINO loop")


def export(folder: Path, preset: str) -> Path:
    """Write all graphs of one checkpoint; return it."""
    source = checkpoint(preset, folder)
    gantool("export", source, "--engine", "none", cwd=folder)
    for name in ("cpu", "phases"):
        gantool("export", source, "--engine", "none", "-o", name, "--int8", "--lowering", name, cwd=folder)
    return source


def engine(name: str, folder: Path, source: Path) -> Run:
    """Return what makes images."""
    if name in GRAPHS:
        graph, provider = GRAPHS[name]
        backend = load_backend(folder / graph, provider)
        return lambda zs: (images for _, images in backend.infer_each(Batch(z) for z in zs))
    if name == PLAIN:
        session = onnxruntime.InferenceSession(folder / "g.onnx", providers=["CPUExecutionProvider"])
        return partial(map, lambda z: session.run(None, {"z": z})[0])
    if name == "plain OpenVINO loop":
        request = openvino.Core().compile_model(folder / "g.onnx", "CPU").create_infer_request()
        return partial(map, lambda z: request.infer({"z": z})["images"].copy())
    network = load_checkpoint(source).generator.eval()
    model = torch.compile(network) if name == "PyTorch compile" else network

    def run(z: np.ndarray) -> Images:
        with torch.inference_mode():
            x = model(torch.from_numpy(z))  # [N, C, H, W] in [-1, 1]
            x = (x * 127.5 + 128).clamp(0, 255).to(torch.uint8)
            images: Images = x.permute(0, 2, 3, 1).contiguous().numpy()
            return images

    return partial(map, run)


def serve(name: str, folder: Path, source: Path, orders: Connection) -> None:
    """Answer each batch size with images/s over 0.3 s, after 0.2 s in which caches and clocks settle, and 0 with
    the images of 64 seeds, until None comes."""
    run = engine(name, folder, source)
    while (batch := orders.recv()) is not None:
        z = latents(range(batch or 64), LATENT)
        if not batch:
            orders.send(next(iter(run([z, z]))))
            continue
        for _ in run(repeated(z, time.perf_counter() + 0.2)):
            pass
        started = time.perf_counter()
        images = sum(map(len, run(repeated(z, started + 0.3))))
        orders.send(images / (time.perf_counter() - started))


def repeated(z: np.ndarray, end: float) -> Iterator[np.ndarray]:
    """Yield z until then, at least twice."""
    yield z
    yield z
    while time.perf_counter() < end:
        yield z


def rates(folder: Path, source: Path) -> tuple[dict[str, dict[int, list[float]]], dict[str, float]]:
    """Return images/s of each round, by engine and batch, and dB of the worst of 64 images against PyTorch's.

    Each engine has a process of its own, or threads of one that wait would disturb the next.
    """
    context = multiprocessing.get_context("spawn")
    names = (*LOOPS, *GRAPHS)
    found: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in BATCHES} for name in names}
    ends: dict[str, Connection] = {}
    for name in names:
        ends[name], other = context.Pipe()
        context.Process(target=serve, args=(name, folder, source, other), daemon=True).start()

    def ask(name: str, batch: int | None) -> Any:
        ends[name].send(batch)
        return ends[name].recv()

    images = {name: ask(name, 0).astype(float) for name in names}
    for batch in BATCHES:
        for number in range(ROUNDS + 1):
            for name in names:
                rate = ask(name, batch)
                if number:  # the first warms up
                    found[name][batch].append(rate)
    for end in ends.values():
        end.send(None)
    reference = images["PyTorch eager"]
    errors = {name: ((one - reference) ** 2).mean((1, 2, 3)).max() for name, one in images.items()}
    return found, {name: 10 * np.log10(255**2 / error) if error else np.inf for name, error in errors.items()}


def gigaflops(source: Path) -> float:
    """Return those of one image."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        load_checkpoint(source).generator.eval()(torch.zeros(1, LATENT))
    return float(counter.get_total_flops()) / 1e9


def matrix_product() -> tuple[str, float]:
    """Return FP32 or BF16, the faster, and GFLOP/s of PyTorch's product of such matrices, the best of ten."""
    # small ones first: a CPU without BF16 emulates it, hundreds of times slower
    small = {name: _product(kind, 128) for name, kind in (("FP32", torch.float32), ("BF16", torch.bfloat16))}
    name = max(small, key=small.__getitem__)
    return name, _product(torch.float32 if name == "FP32" else torch.bfloat16, 2048)


def _product(kind: torch.dtype, side: int) -> float:
    left = right = torch.randn(side, side).to(kind)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return float(2 * side**3 / best / 1e9)


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
            items = Items(Seeds((range(count),)))
            with ImageFiles(Target(out, threads=cores()), items, generator.spec).open() as write:
                for seeds, images in generator.stream(items.seeds):
                    write([Item(seed_name(seed), seed) for seed in seeds], images)

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


def marks(folder: Path, count: int = 512) -> tuple[float, float, int]:
    """Return milliseconds of encoding and writing a PNG, the ratio with a mark to without, and a mark's bytes.

    One thread writes each image both ways in turn.
    """
    with Generator.load(folder / "g.onnx", "cpu") as generator:
        images = generator.images(range(count))
        marker = Marker(Origin.of(folder / "g.onnx").record(generator.name))
    encoding, items = Encoding(), [Item(seed_name(seed), seed) for seed in range(count)]
    out = folder / "marks"
    out.mkdir()

    def write(marked: bool) -> float:
        started = time.process_time()
        for item, image in zip(items, images, strict=True):
            data = encoding.encode(image, marker.packet(item) if marked else None)
            write_whole(str(out), f"{item.name}.png", data)
        return time.process_time() - started

    write(marked=True)
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * ROUNDS):
        for marked in sorted(found, reverse=number % 2 == 1):  # the second one would gain by warm caches
            found[marked].append(write(marked=marked))
    ratio = statistics.median(one / plain for plain, one in zip(*found.values(), strict=True))
    alone = statistics.median(found[False]) / count * 1e3
    return alone, ratio, len(marker.packet(items[0]))


def start_up(folder: Path) -> dict[str, list[tuple[float, ...]]]:
    """Return seconds of CPU and of the clock of each start, to one image on disk or to the help, and both as
    ratios to the bare script, which runs before each of them."""
    commands = {
        "gantool generate": [
            "-m",
            "gantool",
            "generate",
            "-e",
            "g.onnx",
            "--seeds",
            "0",
            "-o",
            "x",
            "--force",
        ],
        "gantool --help": ["-m", "gantool", "--help"],
        "import torch": ["-c", "import torch"],
    }

    def seconds(arguments: list[str]) -> np.ndarray:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return np.array((used, ended - started))

    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("bare script", *commands)}
    for name, arguments in commands.items():
        for number in range(2 * ROUNDS + 1):
            bare, one = seconds(["-c", BARE, "g.onnx", "bare.png"]), seconds(arguments)
            if number:
                found["bare script"].append((*bare, 1, 1))
                found[name].append((*one, *one / bare))
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
            "--force",
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
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    width = 0.8 / len(found)
    for index, (name, of_batch) in enumerate(found.items()):
        heights = [statistics.median(of_batch[b]) / statistics.median(found[PLAIN][b]) for b in BATCHES]
        left.bar(np.arange(len(BATCHES)) + index * width, heights, width, label=name.replace("`", ""))
    left.set_xticks(np.arange(len(BATCHES)) + 0.4 - width / 2, [f"batch {batch}" for batch in BATCHES])
    left.set_ylabel("images/s, plain ONNX Runtime loop = 1")
    left.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    counts, speeds, memory = zip(*grown, strict=True)
    right.semilogx(counts, memory, "o-", color="tab:red")
    right.set_ylim(0, max(memory) * 1.15)
    right.set_ylabel("most memory, MiB", color="tab:red")
    right.set_xlabel("images of one command, 32×32 pixels")
    second = right.twinx()
    second.semilogx(counts, speeds, "s--", color="tab:blue")
    second.set_ylim(0)
    second.set_ylabel("images/s, start included", color="tab:blue")
    figure.savefig(HERE / "runtime.png", dpi=80)


def main() -> None:
    """Write benchmarks/runtime.md."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as text:
        folder, small = Path(text) / "64", Path(text) / "32"
        for each in (folder, small):
            each.mkdir()
        source = export(folder, "dcgan64")
        found, quality = rates(folder, source)
        files, (kind, peak), gflop = with_files(folder), matrix_product(), gigaflops(source)
        starts, (alone, marked, size) = start_up(folder), marks(folder)
        gantool("export", checkpoint("dcgan32", small), "--engine", "none", cwd=small)
        grown = growth(small)
    plot(found, grown)
    print(json.dumps({"rates": found, "files": files, "starts": starts, "growth": grown}), file=sys.stderr)
    names = ("numpy", "onnxruntime", "pillow", "typer", "torch")
    libraries = ", ".join(f"{name} {distribution(name).version}" for name in names)
    only, png, loop = (statistics.median(files[name]) for name in files)
    plain = statistics.median(found[PLAIN][64])
    lines = [
        "# Runtime",
        "",
        f"Written by `make bench` on {platform.machine()}, {cores()} cores, Python {platform.python_version()},",
        f"{libraries};",
        f"load {load:.1f} at the start (1 is one core busy with something else).",
        f"Random weights; rates are medians of {ROUNDS} rounds in which all take turns, in brackets the tenth and",
        "the ninetieth percentile; each engine has a process of its own.",
        "",
        "![Rates by batch; memory and rate by number of images](runtime.png)",
        "",
        "## Engine only, 64×64 pixels, as ratios to the plain loop in the same round",
        "",
        *table_of_rates(found, quality),
        "",
        "PSNR is that of the worst of 64 images against PyTorch. OpenVINO computes in BF16 where the CPU has it. "
        f"An image takes {gflop:.2f} GFLOP and PyTorch's product of {kind} matrices reaches {peak:.0f} GFLOP/s, "
        f"{peak / gflop / plain:.1f} times what the plain loop does at batch 64. "
        "ONNX Runtime's CPU provider computes the layers of INT8 graphs in FP32.",
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
        f"With the mark of {size} bytes, encoding and writing a PNG takes {marked:.3f} times the CPU time of one "
        f"without, {alone:.2f} ms.",
        "",
        "## Start",
        "",
        "| | CPU | clock | of the bare script |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {cpu:.2f} s | {clock:.2f} s | {of_cpu:.2f}, {of_clock:.2f} |"
            for name, each in starts.items()
            for cpu, clock, of_cpu, of_clock in [map(statistics.median, zip(*each, strict=True))]
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

"""Quality by time, and images a second, against a plain script: writes benchmarks/train.md and train.svg.

    python benchmarks/train.py [--seconds 600] [--side-by-side]

Both train on Fashion-MNIST at 32×32; the Fréchet distance is by the classifier of `gantool evaluate`, on 5,000
images. Measuring is not counted. --side-by-side draws both curves at the same time on half of the cores each: so
that a machine with other work on it treats both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

from gantool.models.config import square
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg
from gantool.train.data.dataset import load_images
from gantool.train.metrics.extractors import find_extractor
from gantool.train.metrics.measure import measure

HERE = Path(__file__).parent
Points = list[tuple[float, float]]  # seconds, Fréchet distance or images
ROUNDS = 5  # for images a second


def start(command: list[str], folder: Path, cores: set[int]) -> subprocess.Popen[bytes]:
    """Run a command on some of the cores."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(cores))}
    pin = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*pin, sys.executable, *command], cwd=folder, env=environment, stdout=log, stderr=log
        )


def plain(folder: Path, seconds: float, cores: set[int]) -> subprocess.Popen[bytes]:
    """Start the baseline."""
    every = min(60.0, seconds / 4)
    script = str(HERE / "plain_dcgan.py")
    return start(
        [script, "--seconds", str(seconds), "--every", str(every), "--out", str(folder)], folder, cores
    )


def ours(folder: Path, seconds: float, cores: set[int], *flags: str) -> subprocess.Popen[bytes]:
    """Start `gantool train`."""
    return start(["-m", "gantool", "train", "--minutes", str(seconds / 60), *flags], folder, cores)


def wait(*processes: subprocess.Popen[bytes]) -> None:
    """Wait for all; raise if one failed."""
    for process in processes:
        if process.wait():
            raise SystemExit(f"{process.args!r} failed, see its log")


def rate_of_plain(folder: Path) -> float:
    """Return images a second, from the first line to the last."""
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
    return _rate([(line["seconds"], line["images"]) for line in lines])


def stats(folder: Path, name: str) -> list[dict[str, float]]:
    """Return the lines of a file of the run."""
    (path,) = folder.glob(f"runs/*/{name}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def rate_of_ours(folder: Path) -> float:
    """Return images a second, from the first tick to the last."""
    return _rate([(line["seconds"], line["kimg"] * 1000) for line in stats(folder, "stats.jsonl")])


def _rate(points: Points) -> float:
    (start, before), (end, after) = points[0], points[-1]
    return (after - before) / (end - start)


def rates_in_turn(folder: Path, seconds: float, cores: set[int]) -> dict[str, float]:
    """Return images a second: medians of rounds in turn, since the pace of a machine changes by the minute."""
    flags = {
        # the same work as the script's: its network, batch and loss, and no penalty
        "gantool, the same network, batch and loss": ("--width", "64", "--batch", "128", "--r1", "0"),
        "gantool, default preset (width 32, R1)": (),
    }
    found: dict[str, list[float]] = {"plain script, width 64, batch 128": [], **{name: [] for name in flags}}
    for turn in range(ROUNDS):
        to = folder / f"plain-{turn}"
        wait(plain(to, seconds, cores))
        found["plain script, width 64, batch 128"].append(rate_of_plain(to))
        for name, more in flags.items():
            to = folder / f"{len(more)}-flags-{turn}"
            wait(ours(to, seconds, cores, "--kimg", "100000", *more))
            found[name].append(rate_of_ours(to))
    return {name: median(rates) for name, rates in found.items()}


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--side-by-side", action="store_true")
    arguments = parser.parse_args()
    data = load_images("fashion-mnist", square(32))
    extractor = find_extractor("classifier", data)
    cores = sorted(os.sched_getaffinity(0))
    halves = (set(cores[::2]), set(cores[1::2])) if arguments.side_by_side else (set(cores), set(cores))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = ("--metric-every", "6", "--kimg", "100000")
        runs: tuple[Callable[[], subprocess.Popen[bytes]], ...] = (
            lambda: plain(folder / "plain", arguments.seconds, halves[0]),
            lambda: ours(folder / "ours", arguments.seconds, halves[1], *flags),
        )
        rates = rates_in_turn(folder, min(arguments.seconds, 30), set(cores))
        if arguments.side_by_side:
            wait(*[run() for run in runs])
        else:
            for run in runs:
                wait(run())
        baseline: Points = [
            (float(path.stem.split("-")[1]), measure(extractor, data, np.load(path)).scores.fd)
            for path in sorted((folder / "plain").glob("images-*.npy"))
        ]
        default: Points = [
            (each["seconds"], each["fd"]) for each in stats(folder / "ours", "metric-classifier.jsonl")
        ]
    how = "both at the same time" if arguments.side_by_side else "one after the other"
    page = report(baseline, default, rates, f"{len(halves[0])} core(s) each, {how}")
    (HERE / "train.md").write_text(page, encoding="utf-8")
    curves = [Curve("plain script", baseline), Curve("gantool train", default)]
    axes = Axis("seconds", zero=True), Axis("Fréchet distance", log=True)
    chart = svg(Chart("Fréchet distance by seconds", curves, *axes))
    (HERE / "train.svg").write_text(chart, encoding="utf-8")
    print(page)


def processor() -> str:
    """Return what Linux calls the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")


def report(baseline: Points, default: Points, rates: dict[str, float], cores: str) -> str:
    """Return the page."""
    goal, plain_rate = baseline[-1][1], next(iter(rates.values()))
    reached = next((seconds for seconds, distance in default if distance <= goal), None)
    lines = [
        "# Training against a plain script",
        "",
        f"{date.today()}, {processor()}, {cores}, load average of 15 minutes {os.getloadavg()[2]:.1f} on "
        f"{os.cpu_count()} cores; torch {version('torch')}. "
        f"Rates are medians of {ROUNDS} rounds in turn; the script computes in FP32, gantool in what it "
        "measured as fastest. "
        "Fashion-MNIST 32×32; Fréchet distance by the classifier of `gantool evaluate`, 5,000 images.",
        "",
        "| | images/s | ratio |",
        "| --- | --- | --- |",
        *(f"| {name} | {rate:,.0f} | {rate / plain_rate:.2f} |" for name, rate in rates.items()),
        "",
        f"The script reaches {goal:.1f} after {baseline[-1][0]:.0f} s; `gantool train` reaches that after "
        + (f"{reached:.0f} s" if reached else f"more than {default[-1][0]:.0f} s")
        + f", and {default[-1][1]:.1f} after {default[-1][0]:.0f} s ({default[-1][1] / goal:.2f} of the script's).",
        "",
        "![both curves](train.svg)",
        "",
        "| seconds | plain script | gantool train |",
        "| --- | --- | --- |",
    ]
    for seconds, distance in [(30.0, None), *baseline]:
        ours = [value for when, value in default if when <= seconds]
        left, right = (f"{value:.1f}" if value else "" for value in (distance, ours[-1] if ours else None))
        lines.append(f"| {seconds:.0f} | {left} | {right} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

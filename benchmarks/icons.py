"""Presets on a few thousand icons, after the same time: writes benchmarks/icons.md.

    python benchmarks/icons.py emoji [--seconds 480] [--seeds 0,1] [--only small]

The data is the folder that examples/emoji makes. Every run trains alone on all cores and is scored by the same
classifier, at full size, on the same number of images. `gantool train` measures what is fastest before its clock
starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

from train import processor

HERE = Path(__file__).parent
SAMPLES = 2000
# name -> flags; the first is the baseline
RUNS = {
    "dcgan32 at 64 pixels": ("--preset", "dcgan32", "--size", "64"),
    "small": ("--preset", "small"),
}


def gantool(*arguments: str, folder: Path) -> str:
    """Run a command, and return its output."""
    command = [sys.executable, "-m", "gantool", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def scored(data: Path, seconds: float, seed: str, flags: tuple[str, ...]) -> dict[str, Any]:
    """Train a run, and return its scores and its rate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        limits = ("--minutes", str(seconds / 60), "--kimg", "100000", "--seed", seed)
        gantool("train", "--data", str(data), *flags, *limits, folder=folder)
        scores: dict[str, Any] = json.loads(
            gantool("evaluate", "--samples", str(SAMPLES), "--json", folder=folder)
        )
        (stats,) = folder.glob("runs/*/stats.jsonl")
        last = json.loads(stats.read_text(encoding="utf-8").splitlines()[-1])
    return {**scores, "rate": last["kimg"] * 1000 / last["seconds"]}


def report(found: dict[str, list[dict[str, Any]]], seconds: float) -> str:
    """Return the page."""
    first = next(iter(found.values()))
    base = mean(run["fd"] for run in first)
    lines = [
        "# Presets on icons",
        "",
        f"{date.today()}, {processor()}, {len(os.sched_getaffinity(0))} cores; torch {version('torch')}. "
        f"{first[0]['data']}: {first[0]['real']:,} images of {first[0]['image']}. Each run trains alone for "
        f"{seconds / 60:.0f} minutes and is scored by `gantool evaluate` on {SAMPLES:,} images; "
        f"{len(first)} runs each, which differ in their seed.",
        "",
        "| preset | images/s | Fréchet distance | ratio | copies | checkerboard |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in found.items():
        distances = ", ".join(f"{run['fd']:.1f}" for run in runs)
        ratio = mean(run["fd"] for run in runs) / base
        shares = ", ".join(f"{run['copies']:.3f}" for run in runs)
        boards = ", ".join(f"{run['checkerboard']:.1f}" for run in runs)
        rate = mean(run["rate"] for run in runs)
        lines.append(f"| {name} | {rate:,.0f} | {distances} | {ratio:.2f} | {shares} | {boards} |")
    halves = first[0]["real_halves"]["fd"]
    lines += [
        "",
        f"Half of the data against the other half: distance {halves:.1f}. A checkerboard of 1 is as in the data.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", choices=RUNS)
    arguments = parser.parse_args()
    chosen = {arguments.only: RUNS[arguments.only]} if arguments.only else RUNS
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in arguments.seeds.split(","):
        for name, flags in chosen.items():
            one = scored(arguments.data.resolve(), arguments.seconds, seed, flags)
            found[name].append(one)
            print(
                f"{name}, seed {seed}: distance {one['fd']:.1f}, {one['rate']:.0f} images/s", file=sys.stderr
            )
    page = report(found, arguments.seconds)
    if not arguments.only:
        (HERE / "icons.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()

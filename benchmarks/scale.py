"""Images/s by processes of `gantool generate --shard` and by actors of `gantool.ray`: writes benchmarks/scale.md.

All write the same tars of PNG files, with one thread an engine and one an encoder. The time to start is measured
alone, with a few images. Rates include it. What limits a hundred GPUs is computed from the encoders, measured here.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import ray
from encoders import Encoder, measured_encoders, paper, table

from export import checkpoint
from gantool.export.options import ExportOptions
from gantool.export.pipeline import export
from gantool.runtime.process.cpus import cores
from gantool.runtime.ray import Options, images, sample

HERE = Path(__file__).parent
PRESET, SIZE = "dcgan64", 64
FEW = 16  # images of each process, to measure the start


@dataclass(frozen=True)
class Rate:
    """Images/s of one way, its start included."""

    name: str
    start: float  # seconds for a few images
    images: float  # a second


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000, help="images of each run")
    parser.add_argument(
        "--numbers", type=int, nargs="+", default=[1, 2, 4], help="of processes and of actors"
    )
    given = parser.parse_args()
    load = os.getloadavg()[0]
    encoders = list(measured_encoders())
    # more than there are cores, so that four actors and the tasks of encoders run at once
    ray.init("local", num_cpus=2 * max(given.numbers), include_dashboard=False, object_store_memory=200 << 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = folder / "g.onnx"
        export(checkpoint(PRESET, folder), ExportOptions(base=folder / "g", engine="none"))
        rates = [
            rate("gantool generate", partial(by_shards, engine, 1), given.count),
            *(
                rate(f"--shard, {n} processes", partial(by_shards, engine, n), given.count)
                for n in given.numbers
                if n > 1
            ),
            *(
                rate(f"gantool.ray, {n} actors", partial(by_actors, engine, n), given.count)
                for n in given.numbers
            ),
        ]
    (HERE / "scale.md").write_text(report(rates, encoders, given.count, load), encoding="utf-8")


def rate(name: str, make: Callable[[int], None], count: int) -> Rate:
    """Return the rate of `make`, which writes a number of images, its start included."""
    few = timed(make, FEW)
    whole = timed(make, count)
    print(f"{name}: {few:.1f} s to start, {whole:.1f} s in all", file=sys.stderr)
    return Rate(name, few, count / whole)


def timed(make: Callable[[int], None], count: int) -> float:
    start = time.monotonic()
    make(count)
    return time.monotonic() - start


def by_shards(engine: Path, number: int, count: int) -> None:
    """Write images by `number` processes, each a shard of the seeds."""
    with tempfile.TemporaryDirectory() as out:
        command: list[str | Path] = [sys.executable, "-m", "gantool", "generate", engine, "--quiet"]
        command += ["--seeds", f"0-{count - 1}", "--format", "tar", "--out", out, "--provider", "cpu"]
        command += ["--engine-threads", "1", "--threads", "1"]
        shards = [["--shard", f"{index}/{number}"] if number > 1 else [] for index in range(1, number + 1)]
        started = [subprocess.Popen([*command, *shard], stdout=subprocess.DEVNULL) for shard in shards]
        codes = [process.wait() for process in started]
        assert not any(codes), codes


def by_actors(engine: Path, number: int, count: int) -> None:
    """Write images by a pool of `number` actors."""
    options = Options(actors=number, provider="cpu", format="png")
    with tempfile.TemporaryDirectory() as out:
        images(engine, range(count), options).write_webdataset(out, encoder=sample)


def report(rates: Sequence[Rate], encoders: Sequence[Encoder], count: int, load: float) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("ray", "onnxruntime", "pillow", "numpy"))
    base = rates[0].images
    lines = [
        "# Many machines",
        "",
        f"Written by `make bench-scale` on {platform.machine()}, {cores()} cores, Python",
        f"{platform.python_version()}, {libraries};",
        f"load {load:.1f} at the start (1 is one core busy with something else).",
        "",
        "## By processes and by actors",
        "",
        f"{count:,} images of {PRESET} ({SIZE}×{SIZE} pixels, random weights), as PNG in tars. Each engine and",
        f"each encoder has one thread. **There are only {cores()} cores**: more processes than cores gain nothing,",
        "and other work makes all rates lower. The table says what a process and what Ray cost, not how a",
        "cluster scales.",
        "",
        "| | start | images/s, start included | of the first row |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {r.name} | {r.start:.1f} s | {r.images:.0f} | {r.images / base:.2f} |" for r in rates]
    lines += [
        "",
        "Ray encodes in tasks beside its actors, so one actor may use two cores. Its start is that of the",
        "actors, not that of the cluster; the first one also fills the caches.",
        "",
        "## Encoders, one core",
        "",
        "CPU time; RGB images that are smooth with some noise. Encoders of gantool use Pillow.",
        "",
        *table(encoders),
        "",
        *paper(encoders),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()

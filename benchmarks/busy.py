"""Training beside other programs, against the best fixed number of threads: writes benchmarks/busy.md.

    python benchmarks/busy.py [--seconds 30]

Two loops a core that only compute run beside each training of the default preset. The rate of `gantool train`
is that of the whole session, measuring what is fastest included. It fails where that is less than half of the best.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path

from gantool.models.config import square
from gantool.runtime.process.cpus import Others, cores
from gantool.train.data.dataset import load_images

HERE = Path(__file__).parent
GOAL = 0.5  # of the best fixed number


def spin(parent: int) -> None:
    """Keep a core busy, for as long as the process that started this lives."""
    while os.getppid() == parent:
        pass


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run loops beside the block."""
    loops = [multiprocessing.Process(target=spin, args=(os.getpid(),), daemon=True) for _ in range(count)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()


def images(folder: Path, *flags: str, threads: int | None = None) -> tuple[float, str]:
    """Return how many images `gantool train FLAGS` trained on, and its log."""
    folder.mkdir()
    limit = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | limit
    command = [sys.executable, "-m", "gantool", "train", "--precision", "fp32", *flags]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    (run,) = folder.glob("runs/*")
    lines = (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1])["kimg"] * 1000, (run / "log.txt").read_text(encoding="utf-8")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    seconds = parser.parse_args().seconds
    session = ("--minutes", str(seconds / 60))
    before = Others()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GANTOOL_CACHE"] = str(folder / "cache")
        load_images("fashion-mnist", square(32))
        images(folder / "idle", "--minutes", "0.1")  # tunes while it is alone
        there = before.cpus()
        rates: dict[str, float] = {}
        with busy(2 * cores()):
            for threads in sorted({1, cores()}):
                fixed, _ = images(folder / f"fixed-{threads}", "--no-autotune", *session, threads=threads)
                rates[f"{threads} thread{'s' if threads > 1 else ''}, fixed"] = fixed / seconds
            best = max(rates.values())
            ours, log = images(folder / "before", *session)
            rates["gantool train, tuned before the loops began"] = ours / seconds
            (folder / "cache/speed.json").unlink()
            ours, _ = images(folder / "beside", *session)
            rates["gantool train, tuned beside them"] = ours / seconds
    page = report(rates, best, there, log)
    (HERE / "busy.md").write_text(page, encoding="utf-8")
    print(page)
    if missed := [name for name, rate in rates.items() if "gantool" in name and rate < GOAL * best]:
        raise SystemExit(f"less than {GOAL:.0%} of the best fixed number of threads: {', '.join(missed)}")


def processor() -> str:
    """Return what Linux calls the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")


def report(rates: dict[str, float], best: float, there: float, log: str) -> str:
    """Return the page."""
    changes = [line for line in log.splitlines() if line.startswith(("the machine", "other programs"))]
    lines = [
        "# Training beside other programs",
        "",
        f"Written by `make bench-busy` on {date.today()}: {processor()}, {cores()} CPUs, Python "
        f"{platform.python_version()}, torch {version('torch')}. {2 * cores()} loops that only compute ran beside "
        f"each row; other programs used {there:.1f} CPUs before that. Default preset in FP32, one session each, "
        "with the time that measuring takes.",
        "",
        "| | images/s | of the best fixed |",
        "| --- | --- | --- |",
        *(f"| {name} | {rate:,.0f} | {rate / best:.2f} |" for name, rate in rates.items()),
    ]
    if changes:
        lines += ["", "What `gantool train` said:", "", "```", *changes, "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

"""Measure one engine in its own process, so that memory and start-up time are those of this engine.

    python -m gantool.runtime.bench.measure STARTED SECONDS THREADS PROVIDER BATCHES FILE

prints a line of JSON for each batch size; `gantool bench` starts it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantool.runtime.bench.meter import Meter, find, metered
from gantool.runtime.classes import label_rows
from gantool.runtime.errors import GantoolError
from gantool.runtime.generator import load_backend
from gantool.runtime.latents import latents
from gantool.runtime.spec import Backend, Batch, Labels

_MIN_SINGLE_RUNS, _MIN_RUNS = 10, 2  # however long they take: batches one by one; batches in a row


@dataclass(frozen=True)
class Samples:
    """The measurements of one batch size."""

    rate: float  # images/s of batches in a row, as `gantool generate` runs them
    watts: float | None  # during the rate measurement; None without a meter
    runs: list[float]  # seconds of each single run, in order
    compute: list[float]  # the same without copies, by the GPU's clock; empty without a GPU


def measure(backend: Backend, batch: int, seconds: float, meter: Meter) -> Samples:
    """Warm up, then run batches in a row, then one by one: each for `seconds`."""
    z = latents(range(batch), backend.spec.latent, backend.spec.distribution)
    label: Labels | None = None if backend.spec.classes == 0 else label_rows([0] * batch, backend.spec)

    def batches(least: int) -> Iterator[Batch]:
        end = time.perf_counter() + seconds
        while least > 0 or time.perf_counter() < end:
            least -= 1
            yield Batch(z, label)

    for _ in backend.infer_each(batches(_MIN_RUNS)):
        pass
    started = time.perf_counter()
    with metered(meter) as energy:
        images = sum(len(images) for _, images in backend.infer_each(batches(_MIN_RUNS)))
        taken = time.perf_counter() - started
    runs: list[float] = []
    compute: list[float] = []
    for one in batches(_MIN_SINGLE_RUNS):
        started = time.perf_counter()
        backend.infer(one.z, one.label)
        runs.append(time.perf_counter() - started)
        if (alone := getattr(backend, "compute_seconds", None)) is not None:
            compute.append(alone)
    watts = None if energy.joules is None else energy.joules / taken
    return Samples(images / taken, watts, runs, compute)


def summary(samples: Samples, batch: int) -> dict[str, Any]:
    """Return rate, latencies in milliseconds and power as a JSON object, with reasons to doubt them."""
    runs = np.array(samples.runs)
    p50, p90, p99 = np.percentile(runs, (50, 90, 99))
    quarter = max(len(runs) // 4, 1)
    slower = float(np.median(runs[-quarter:]) / np.median(runs[:quarter]))
    doubts = []
    if p90 > 1.5 * p50:
        doubts.append(f"p90 is {p90 / p50:.1f} times p50: other programs were running")
    if slower > 1.2:
        doubts.append(
            f"it became {slower:.1f} times slower: the machine throttled, or other programs started"
        )
    return {
        "batch": batch,
        "images_per_second": samples.rate,
        "ms": {"p50": p50 * 1e3, "p90": p90 * 1e3, "p99": p99 * 1e3},
        "compute_ms": (
            dict(zip(("p50", "p90", "p99"), np.percentile(samples.compute, (50, 90, 99)) * 1e3, strict=True))
            if samples.compute
            else None
        ),
        "runs": len(runs),
        "watts": samples.watts,
        "mj_per_image": None if samples.watts is None else samples.watts / samples.rate * 1e3,
        "doubts": doubts,
    }


def peak_memory() -> int | None:
    """Return the peak of this process's host memory in bytes, or None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(started: float, seconds: float, batches: list[int], backend: Backend) -> None:
    """Print a line of JSON for each batch size. `started`: when the process was started, of time.monotonic()."""
    spec = backend.spec
    first = spec.min_batch
    label = None if spec.classes == 0 else label_rows([0] * first, spec)
    backend.infer(latents(range(first), spec.latent, spec.distribution), label)
    start = time.monotonic() - started
    meter = find(on_gpu="CPU" not in backend.name)
    for batch in batches:
        if not spec.min_batch <= batch <= (spec.max_batch or batch):
            print(json.dumps({"batch": batch, "takes": [spec.min_batch, spec.max_batch]}), flush=True)
            continue
        found = summary(measure(backend, batch, seconds, meter), batch)
        same = {"runs_on": backend.name, "start_seconds": start, "peak_bytes": peak_memory()}
        same |= {"meter": meter.name, "no_meter": meter.missing}
        print(json.dumps({**found, **same}), flush=True)
    backend.close()


if __name__ == "__main__":
    _started, _seconds, _threads, _provider, _batches, _file = sys.argv[1:]
    try:
        main(
            float(_started),
            float(_seconds),
            [int(batch) for batch in _batches.split(",")],
            load_backend(Path(_file), _provider, int(_threads) or None),
        )
    except GantoolError as error:
        print(json.dumps({"error": str(error), "exit_code": error.exit_code}))

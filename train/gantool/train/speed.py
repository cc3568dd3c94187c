"""Which way of computing a step is fastest on this machine, found by measuring; kept in the cache.

The ways: images as channels last or not, float32 or bfloat16 (autocast), compiled or not, on a CPU all threads or
fewer. Which is best depends on the processor: bfloat16 makes a CPU that has it three times as fast, and one that
has not several times slower.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from gantool.runtime.cache import cache_dir
from gantool.runtime.files import atomic
from gantool.train.options import TrainingOptions
from gantool.train.processes import alone
from gantool.train.state import TrainingState, compiled, new_state
from gantool.train.step import step

_VERSION = 3
_SECONDS, _STEPS = 0.5, 3  # that are timed at least, after two steps to warm up
_HOPELESS = 2.0  # a way whose first step takes this many times the best is given up
_COMPILE_MINUTES = 30  # compiling takes a minute or more: only for runs that last


def fastest(
    options: TrainingOptions, fabric: Fabric, precision: str | None, log: Callable[[str], None]
) -> TrainingOptions:
    """Return the options with the fastest way of computing a step; the random state is left alone.

    Only in `precision`, where one is given. Of several processes one measures its own share of the batch, alone.
    """
    path = cache_dir() / "speed.json"
    known = _read(path)
    share = replace(options, batch=options.batch // fabric.world_size)
    ways = _ways(share, fabric, precision)
    key = _key(share, fabric.device, ways)
    if key not in known:
        log("measuring which way of computing is fastest here (once; --no-autotune leaves it out) ...")
        known[key] = _measure(share, alone(str(fabric.device)), ways)
        with atomic(path) as part:
            part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    rates: dict[str, float] = known[key]
    best = max(rates, key=lambda way: rates[way])
    log(
        "speed: "
        + ", ".join(f"{way} {rate:,.0f}" if rate else f"{way} given up" for way, rate in rates.items())
        + f" images/s; chosen: {best}"
    )
    return _set(options, best)


def _ways(options: TrainingOptions, fabric: Fabric, precision: str | None) -> list[str]:
    """Return the ways in words, the likely best first: "fp32 channels_last", "bf16 contiguous compiled" ..."""
    # bfloat16 needs no scaling of losses; GPUs before Ampere only emulate it
    new = fabric.device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    precisions = (precision,) if precision else ("fp32", "bf16" if new else "fp16")
    ways = [" ".join(way) for way in product(precisions, ("channels_last", "contiguous"))]
    long = options.minutes is not None and options.minutes >= _COMPILE_MINUTES
    if long and not options.penalized and fabric.world_size == 1:  # one process measures, without the others
        ways += [f"{way} compiled" for way in ways[::2]]
    return ways


def _set(options: TrainingOptions, way: str) -> TrainingOptions:
    words = way.split()
    return replace(
        options,
        precision=words[0],  # type: ignore[arg-type]
        channels_last="channels_last" in words,
        compile="compiled" in words,
        threads=next((int(word[8:]) for word in words if word.startswith("threads=")), None),
    )


def _measure(options: TrainingOptions, fabric: Fabric, ways: list[str]) -> dict[str, float]:
    """Return the images a second of each way, 0 for one that was given up or failed."""
    network = options.network
    rng = np.random.default_rng(0)
    shape = (options.batch, network.size, network.size, network.channels)
    real = rng.integers(0, 256, shape, np.uint8)
    labels = rng.integers(0, network.classes, options.batch) if network.classes else None
    rates: dict[str, float] = {}
    most = torch.get_num_threads()

    def rate(way: str) -> float:
        chosen = _set(options, way)
        torch.set_num_threads(chosen.threads or most)
        try:
            state = new_state(chosen, fabric)
            if chosen.compile:
                compiled(state)
            found = _rate(chosen, state, real, labels, max(rates.values(), default=0.0))
        except Exception:  # a compiler or a processor can lack anything
            found = 0.0
        finally:
            torch.set_num_threads(most)
        return round(found, 1)

    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for way in ways:
            rates[way] = rate(way)
        best = max(rates, key=lambda way: rates[way])
        threads = most // 2
        while threads and fabric.device.type == "cpu":  # small steps can be faster with fewer
            rates[f"{best} threads={threads}"] = rate(f"{best} threads={threads}")
            threads //= 2
    return rates


def _rate(options: TrainingOptions, state: TrainingState, real: Any, labels: Any, best: float) -> float:
    seconds: list[float] = []
    while len(seconds) < _STEPS + 2 or sum(seconds[2:]) < _SECONDS:
        started = time.perf_counter()
        step(options, state, real, labels).generator.item()  # waits for the device
        seconds.append(time.perf_counter() - started)
        hopeless = best and options.batch / seconds[-1] < best / _HOPELESS
        if (
            len(seconds) > 1 and hopeless and not options.compile
        ):  # the first step of all warms up libraries, too
            return 0.0
    # not the best step: where other work runs, threads that wait for each other are slow in most
    return options.batch / statistics.median(seconds[2:])


def _key(options: TrainingOptions, device: torch.device, ways: list[str]) -> str:
    """Name the machine, the library and the work."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    work = asdict(options)
    parts = [
        work[name]
        for name in ("network", "batch", "accumulate", "loss", "r1", "r2", "gp", "augment", "device")
    ]
    text = json.dumps(
        [_VERSION, name, os.cpu_count(), torch.get_num_threads(), torch.__version__, ways, parts]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _processor() -> str:
    return f"{platform.processor()} {torch.backends.cpu.get_cpu_capability()}"


def _read(path: Any) -> dict[str, dict[str, float]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}

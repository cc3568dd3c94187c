"""The autotuner: measure which way of computing a step is fastest on this machine, and cache the result.

A way is a combination of layout (channels last or contiguous), precision (float32, bfloat16 or float16 autocast),
compiled or not, and on a CPU the number of threads. The fastest depends on the processor: bfloat16 makes a CPU that
supports it three times as fast, and any other CPU several times slower. It also depends on other programs, so
figures from a busy machine are soon replaced.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import statistics
import time
import warnings
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from gantool.models.threads import limit_threads
from gantool.runtime.process.cpus import Others, is_busy
from gantool.runtime.progress import task
from gantool.train.distributed import precision, single_device
from gantool.train.options import TrainingOptions
from gantool.train.run_dir import number, records
from gantool.train.speed_cache import DAY, Figures, cache_path, known_figures, read_cache, write_cache
from gantool.train.state import TrainingState, compile_networks, new_state
from gantool.train.step import Batch, Targets, step

_VERSION = 4  # of the cached figures
_TURNS, _TURN = 5, 0.1  # number of rounds; least seconds of each way in a round
GIVE_UP_RATIO = 2.0  # after two rounds, drop ways that are this many times slower than the best
_SHARE = 0.05  # of the time of a run may be spent measuring, up to the following limit:
_LONGEST, _STEPS = 15.0, 3.0  # seconds, plus this many steps of each way
_COMPILE_MINUTES = 30  # compiling takes a minute or more, so it pays off only in runs this long
_OFF = 3.0  # measure again if a run is this many times faster or slower than measured

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The result of the autotuner."""

    options: TrainingOptions  # with the fastest way
    rate: float  # measured images per second of this process
    seconds: float  # spent measuring just now
    key: str  # of the figures in the cache

    def check(self, best: float | None) -> None:
        """Drop the figures from the cache if `best`, the best rate of a run in images/s, differs much from them."""
        if best is None or self.rate / _OFF < best < self.rate * _OFF:
            return
        known = read_cache(cache_path())
        if known.pop(self.key, None):
            write_cache(cache_path(), known)


def fastest(options: TrainingOptions, fabric: Fabric, chosen: str | None) -> Tuned:
    """Return the options with the fastest way of computing a step. The random state does not change.

    `chosen` fixes the precision. With several processes, rank zero measures its slice of the batch, alone. On a CPU
    the number of threads may change during training: up to the number chosen here, or up to all threads if the
    machine was busy or time was short.
    """
    most, others, began = limit_threads(), Others(), time.monotonic()
    share = replace(options, batch=options.batch // fabric.world_size)
    ways, compiling = candidates(share, fabric, chosen, most)
    key = _key(share, fabric.device, [*ways, str(compiling)], most)
    known = read_cache(cache_path())
    figures = known_figures(known.get(key), ways)
    budget = _budget(options)
    if figures is None or _outdated(figures, others, budget):
        _log.info("measuring which way to compute a step is fastest here (`autotune=False` skips this) ...")
        others = Others()
        rates, whole = _measure(share, single_device(str(fabric.device)), ways, compiling, budget)
        took = time.monotonic() - began
        figures = Figures(rates, round(time.time()), round(others.cpus(), 2), round(took, 2), whole)
        known[key] = asdict(figures)
        write_cache(cache_path(), known)
    else:
        _log.debug("figures from the cache: %s", cache_path())
    _log.info("%s", figures)
    options = apply(options, figures.best)
    if fabric.device.type == "cpu" and fabric.world_size == 1 and not options.compile:
        options = replace(options, threads_up_to=options.threads if figures.sure else most)
    return Tuned(options, figures.rates[figures.best], time.monotonic() - began, key)


def best_rate(stats: Path) -> float | None:
    """Return the images per second of the fastest tick of a run, or None before the first."""
    if not stats.is_file():
        return None
    times = [seconds for line in records(stats) if (seconds := number(line.get("sec_per_kimg")) or 0) > 0]
    return 1000 / min(times) if times else None


def _outdated(figures: Figures, others: Others, budget: float) -> bool:
    """Return whether to measure again: time was short, or other programs were running."""
    if not figures.whole and budget > 2 * figures.seconds:
        return True
    if not is_busy(figures.others):
        return False
    time.sleep(0.2)
    return not is_busy(others.cpus()) or time.time() - figures.when > DAY


def _budget(options: TrainingOptions) -> float:
    """Return how many seconds measuring may take: a small share of the run."""
    return _LONGEST if options.minutes is None else min(_LONGEST, _SHARE * options.minutes * 60)


def candidates(
    options: TrainingOptions, fabric: Fabric, chosen: str | None, most: int
) -> tuple[list[str], bool]:
    """Return the ways to try as text, the likely best first: "fp32 channels_last threads=2", "bf16 contiguous" ...

    The second value says whether to also try the best way compiled.
    """
    # bfloat16 does not need loss scaling, unlike float16; GPUs before Ampere only emulate it
    new = fabric.device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    precisions = (chosen,) if chosen else ("fp32", "bf16" if new else "fp16")
    counts = [""]
    if fabric.device.type == "cpu":
        # one thread first: it can be the fastest for small steps, and other programs disturb it least
        counts = [
            f" threads={count}" for count in sorted({1, *(most >> n for n in range(most.bit_length() - 1))})
        ]
        counts = [counts[0], *reversed(counts[1:])]
    ways = [
        # all counts of a precision before the next one: where bfloat16 is emulated, a step takes all the time
        f"{name} {layout}{count}"
        for layout, name, count in product(("channels_last", "contiguous"), precisions, counts)
    ]
    long = options.minutes is not None and options.minutes >= _COMPILE_MINUTES
    # rank zero measures alone, so it cannot try a compiled step of several processes
    return ways, long and not options.penalized and fabric.world_size == 1


def apply(options: TrainingOptions, way: str) -> TrainingOptions:
    """Return the options with a way that `candidates` returned."""
    words = way.split()
    return replace(
        options,
        precision=words[0],  # type: ignore[arg-type]
        channels_last="channels_last" in words,
        compile="compiled" in words,
        threads=next((int(word[8:]) for word in words if word.startswith("threads=")), None),
    )


def _measure(
    options: TrainingOptions, fabric: Fabric, ways: list[str], compiling: bool, budget: float
) -> tuple[dict[str, float], bool]:
    """Return the images per second of each way, 0 if it failed, and whether there was time for all rounds.

    The ways take turns, so that a busy moment affects all of them.
    """
    bench = _Bench(options, fabric)
    most = torch.get_num_threads()
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = bench.rounds(ways, budget)
            if compiling and (best := bench.best()):
                bench.rounds([best, f"{best} compiled"], budget)
        finally:
            torch.set_num_threads(most)
    return bench.rates(), whole


class _Bench:
    """Measures steps of all ways, in turns."""

    def __init__(self, options: TrainingOptions, fabric: Fabric) -> None:
        network = options.network
        rng = np.random.default_rng(0)
        shape = (options.batch, *network.size, network.channels)
        real = rng.integers(0, 256, shape, np.uint8 if network.bits == 8 else np.uint16)
        labels = rng.integers(0, network.classes, options.batch) if network.classes else None
        z = rng.standard_normal((options.batch, network.latent), np.float32)
        self.batch: Batch = real, labels, Targets(z) if options.teacher else None
        self.options, self.fabric = options, fabric
        self.most = torch.get_num_threads()
        # way -> seconds per step, one entry per turn; empty: the way failed
        self.seconds: dict[str, list[float]] = {}
        self.states: dict[tuple[bool, bool], TrainingState] = {}  # (channels last, compiled) -> networks

    def rounds(self, ways: list[str], budget: float) -> bool:
        """Measure each way once per round; return whether the budget was enough for all rounds."""
        began = time.perf_counter()
        limit, left = budget, list(ways)
        with task("measuring", limit) as done:
            for turn in range(_TURNS):
                for way in left:
                    took = time.perf_counter() - began
                    if self.best() and took > limit:
                        return False
                    done.update(took, way, limit)
                    self._turn(way)
                    limit = self._limit(budget, len(ways))
                if turn and (best := self.best()):
                    left = [
                        way
                        for way in left
                        if self.seconds[way] and self._step(way) < GIVE_UP_RATIO * self._step(best)
                    ]
        return True

    def _limit(self, budget: float, ways: int) -> float:
        """Return the seconds that measuring may take, given how long a step is so far."""
        options, best = self.options, self.best()
        if options.minutes is not None or best is None:
            return budget
        run = options.kimg * 1000 / options.batch * self._step(best)
        return min(max(1.0, _SHARE * run), budget + ways * _STEPS * self._step(best))

    def best(self) -> str | None:
        """Return the fastest way so far, or None."""
        return min((way for way, turns in self.seconds.items() if turns), key=self._step, default=None)

    def rates(self) -> dict[str, float]:
        """Return images per second by way."""
        return {
            way: round(self.options.batch / self._step(way), 1) if turns else 0.0
            for way, turns in self.seconds.items()
        }

    def _step(self, way: str) -> float:
        # not the minimum: on a busy machine, threads that wait for each other are slow in most turns
        return statistics.median_low(self.seconds[way])

    def _turn(self, way: str) -> None:
        first = way not in self.seconds
        turns = self.seconds.setdefault(way, [])
        if not first and not turns:
            return  # it failed before
        options = apply(self.options, way)
        torch.set_num_threads(options.threads or self.most)
        try:
            state = self._state(options)
            if first:
                step(options, state, *self.batch).generator.item()  # warm-up
            began, count = time.perf_counter(), 0
            while (took := time.perf_counter() - began) < _TURN or (
                count % options.lazy and took < 5 * _TURN
            ):
                step(options, state, *self.batch).generator.item()  # waits for the device
                count += 1
            turns.append(took / count)
        except Exception as error:  # compilation or bf16 may be unsupported here
            _log.debug("%s failed: %s: %s", way, type(error).__name__, error)
            turns.clear()

    def _state(self, options: TrainingOptions) -> TrainingState:
        """Return networks of a layout, shared by all precisions and numbers of threads."""
        key = options.channels_last, options.compile
        if key not in self.states:
            self.states[key] = new_state(options, self.fabric)
            if options.compile:
                compile_networks(self.states[key])
        return replace(self.states[key], precision=precision(options.precision, self.fabric.device))


def _key(options: TrainingOptions, device: torch.device, ways: list[str], most: int) -> str:
    """Return a hash of the machine, the library and the work."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    work = asdict(options)
    parts = [
        work[name]
        for name in ("network", "batch", "accumulate", "loss", "r1", "r2", "gp", "lazy", "augment", "device")
    ]
    parts += ["student", options.is_adversarial(0)] if options.teacher else []
    text = json.dumps([_VERSION, name, os.cpu_count(), most, torch.__version__, ways, parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _processor() -> str:
    return f"{platform.processor()} {torch.backends.cpu.get_cpu_capability()}"

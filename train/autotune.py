"""Which way of computing a step is fastest on this machine, found by measuring; kept in the cache.

The ways: images as channels last or not, float32 or bfloat16 (autocast), compiled or not, on a CPU all threads or
fewer. Which is best depends on the processor: bfloat16 makes a CPU that has it three times as fast, and one that
has not several times slower; and on what else runs, so figures of a busy machine are not kept for long.
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
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from gantool.models.threads import limit_threads
from gantool.runtime.cache import cache_dir
from gantool.runtime.files import atomic
from gantool.runtime.process.cpus import Others, is_busy
from gantool.train.distributed import alone, precision
from gantool.train.options import TrainingOptions
from gantool.train.run_dir import number, records
from gantool.train.state import TrainingState, compiled, new_state
from gantool.train.step import step

_VERSION = 4
_TURNS, _TURN = 5, 0.1  # rounds, and seconds at least that a way has in each
_SLOWER = 2.0  # a way that takes this many times the best, over two rounds, has no third
_SHARE = 0.05  # of the time of a run may go into measuring, and of a long one no more than
_LONGEST, _STEPS = 15.0, 3.0  # seconds, and this many steps of each way
_COMPILE_MINUTES = 30  # compiling takes a minute or more: only for runs that last
_DAY = 24 * 3600.0
_OFF = 3.0  # times as fast or as slow as measured: measure again


@dataclass(frozen=True)
class Figures:
    """Images a second by way, and when and how they were measured."""

    rates: dict[str, float]  # 0 is a way that failed
    when: float  # seconds since 1970
    others: float  # CPUs that other programs used
    seconds: float  # that measuring took
    whole: bool  # there was time for all rounds

    def __post_init__(self) -> None:
        rates = list(self.rates.items())
        numbers = (*(rate for _, rate in rates), self.when, self.others, self.seconds)
        if not rates or not all(isinstance(each, (int, float)) for each in numbers):
            raise TypeError("no figures")

    @property
    def sure(self) -> bool:
        """Whether nothing kept the fastest way from being found."""
        return self.whole and not is_busy(self.others)

    @property
    def best(self) -> str:
        """The fastest way."""
        return max(self.rates, key=lambda way: self.rates[way])

    def __str__(self) -> str:
        old = time.time() - self.when
        notes = [f"measured {_ago(old)}"] if old >= 60 else []
        if is_busy(self.others):
            notes.append(f"while other programs used {self.others:.1f} CPUs")
        if not self.whole:
            notes.append("in a hurry")
        rates = sorted(self.rates.items(), key=lambda item: -item[1])
        return (
            "speed: "
            + ", ".join(f"{way} {rate:,.0f}" if rate else f"{way} failed" for way, rate in rates)
            + " images/s"
            + (f" ({'; '.join(notes)})" if notes else "")
            + f"; chosen: {self.best}"
        )


@dataclass(frozen=True)
class Tuned:
    """Options with the fastest way."""

    options: TrainingOptions
    rate: float  # images a second of this process, as measured
    seconds: float  # that this took just now
    key: str  # of the figures in the cache

    def check(self, best: float | None) -> None:
        """Forget the figures if the best rate of a run, images a second, is far from them."""
        if best is None or self.rate / _OFF < best < self.rate * _OFF:
            return
        known = _read(_path())
        if known.pop(self.key, None):
            _write(_path(), known)


def fastest(
    options: TrainingOptions, fabric: Fabric, chosen: str | None, log: Callable[[str], None]
) -> Tuned:
    """Return the options with the fastest way of computing a step; the random state is left alone.

    Only in the precision `chosen`, where one is given. Of several processes one measures its own share of the
    batch, alone. On a CPU the threads may change while training, up to those chosen here, or up to all where the
    machine was busy or time was short.
    """
    most, others, began = limit_threads(), Others(), time.monotonic()
    share = replace(options, batch=options.batch // fabric.world_size)
    ways, compiling = _ways(share, fabric, chosen, most)
    key = _key(share, fabric.device, [*ways, str(compiling)], most)
    known = _read(_path())
    figures = _figures(known.get(key), ways)
    budget = _budget(options)
    if figures is None or _outdated(figures, others, budget):
        log("measuring which way of computing is fastest here (--no-autotune leaves it out) ...")
        others = Others()
        rates, whole = _measure(share, alone(str(fabric.device)), ways, compiling, budget)
        took = time.monotonic() - began
        figures = Figures(rates, round(time.time()), round(others.cpus(), 2), round(took, 2), whole)
        known[key] = asdict(figures)
        _write(_path(), known)
    log(str(figures))
    options = _set(options, figures.best)
    if fabric.device.type == "cpu" and fabric.world_size == 1 and not options.compile:
        options = replace(options, threads_up_to=options.threads if figures.sure else most)
    return Tuned(options, figures.rates[figures.best], time.monotonic() - began, key)


def best_rate(stats: Path) -> float | None:
    """Return the images a second of the fastest tick of a run, or None before the first."""
    if not stats.is_file():
        return None
    times = [seconds for line in records(stats) if (seconds := number(line.get("sec_per_kimg")) or 0) > 0]
    return 1000 / min(times) if times else None


def _outdated(figures: Figures, others: Others, budget: float) -> bool:
    """Return whether to measure again: what was measured in a hurry, or beside other programs."""
    if not figures.whole and budget > 2 * figures.seconds:
        return True
    if not is_busy(figures.others):
        return False
    time.sleep(0.2)
    return not is_busy(others.cpus()) or time.time() - figures.when > _DAY


def _budget(options: TrainingOptions) -> float:
    """Return the seconds that measuring may take: a small part of the run."""
    return _LONGEST if options.minutes is None else min(_LONGEST, _SHARE * options.minutes * 60)


def _ways(options: TrainingOptions, fabric: Fabric, chosen: str | None, most: int) -> tuple[list[str], bool]:
    """Return the ways in words, the likely best first: "fp32 channels_last threads=2", "bf16 contiguous" ...

    And whether to compile the best of them, too.
    """
    # bfloat16 needs no scaling of losses; GPUs before Ampere only emulate it
    new = fabric.device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    precisions = (chosen,) if chosen else ("fp32", "bf16" if new else "fp16")
    counts = [""]
    if fabric.device.type == "cpu":
        # one thread first: small steps can be faster with it, and beside other programs it is the surest
        counts = [
            f" threads={count}" for count in sorted({1, *(most >> n for n in range(most.bit_length() - 1))})
        ]
        counts = [counts[0], *reversed(counts[1:])]
    ways = [
        f"{name} {layout}{count}"
        for layout, count, name in product(("channels_last", "contiguous"), counts, precisions)
    ]
    long = options.minutes is not None and options.minutes >= _COMPILE_MINUTES
    # one process measures, without the others
    return ways, long and not options.penalized and fabric.world_size == 1


def _set(options: TrainingOptions, way: str) -> TrainingOptions:
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
    """Return the images a second of each way, 0 for one that failed, and whether there was time for all rounds.

    The ways take turns, so that a busy moment meets all of them.
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
    """The steps of all ways, measured in turns."""

    def __init__(self, options: TrainingOptions, fabric: Fabric) -> None:
        network = options.network
        rng = np.random.default_rng(0)
        shape = (options.batch, network.size, network.size, network.channels)
        self.real = rng.integers(0, 256, shape, np.uint8)
        self.labels = rng.integers(0, network.classes, options.batch) if network.classes else None
        self.options, self.fabric = options, fabric
        self.most = torch.get_num_threads()
        self.seconds: dict[str, list[float]] = {}  # a step, by way and turn
        self.states: dict[tuple[bool, bool], TrainingState] = {}  # by layout, and whether compiled

    def rounds(self, ways: list[str], budget: float) -> bool:
        """Give each way its turns, as long as there is time; return whether there was."""
        began = time.perf_counter()
        limit, left = budget, list(ways)
        for turn in range(_TURNS):
            for way in left:
                if self.best() and time.perf_counter() - began > limit:
                    return False
                self._turn(way)
                limit = self._limit(budget, len(ways))
            if turn and (best := self.best()):
                left = [
                    way for way in left if self.seconds[way] and self._step(way) < _SLOWER * self._step(best)
                ]
        return True

    def _limit(self, budget: float, ways: int) -> float:
        """Return the seconds that measuring may take, now that it is known how long a step is."""
        options, best = self.options, self.best()
        if options.minutes is not None or best is None:
            return budget
        run = options.kimg * 1000 / options.batch * self._step(best)
        return min(max(1.0, _SHARE * run), budget + ways * _STEPS * self._step(best))

    def best(self) -> str | None:
        """Return the fastest way so far, None while there is none."""
        return min((way for way, turns in self.seconds.items() if turns), key=self._step, default=None)

    def rates(self) -> dict[str, float]:
        """Return images a second by way."""
        return {
            way: round(self.options.batch / self._step(way), 1) if turns else 0.0
            for way, turns in self.seconds.items()
        }

    def _step(self, way: str) -> float:
        # not the shortest: where other programs run, threads that wait for each other are slow in most turns
        return statistics.median_low(self.seconds[way])

    def _turn(self, way: str) -> None:
        first = way not in self.seconds
        turns = self.seconds.setdefault(way, [])
        if not first and not turns:
            return  # it failed
        options = _set(self.options, way)
        torch.set_num_threads(options.threads or self.most)
        try:
            state = self._state(options)
            if first:
                step(options, state, self.real, self.labels).generator.item()  # warms up
            began, count = time.perf_counter(), 0
            while (took := time.perf_counter() - began) < _TURN or (
                count % options.lazy and took < 5 * _TURN
            ):
                step(options, state, self.real, self.labels).generator.item()  # waits for the device
                count += 1
            turns.append(took / count)
        except Exception:  # a compiler or a processor can lack anything
            turns.clear()

    def _state(self, options: TrainingOptions) -> TrainingState:
        """Return networks of a layout, the same for all precisions and threads."""
        key = options.channels_last, options.compile
        if key not in self.states:
            self.states[key] = new_state(options, self.fabric)
            if options.compile:
                compiled(self.states[key])
        return replace(self.states[key], precision=precision(options.precision, self.fabric.device))


def _key(options: TrainingOptions, device: torch.device, ways: list[str], most: int) -> str:
    """Name the machine, the library and the work."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    work = asdict(options)
    parts = [
        work[name]
        for name in ("network", "batch", "accumulate", "loss", "r1", "r2", "gp", "augment", "device")
    ]
    text = json.dumps([_VERSION, name, os.cpu_count(), most, torch.__version__, ways, parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _processor() -> str:
    return f"{platform.processor()} {torch.backends.cpu.get_cpu_capability()}"


def _path() -> Path:
    return cache_dir() / "speed.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, known: dict[str, Any]) -> None:
    with suppress(OSError), atomic(path) as part:  # without a place to keep them, they are measured again
        part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _figures(found: Any, ways: list[str]) -> Figures | None:
    """Return what the cache has of these ways; None for what another gantool wrote, or nobody."""
    try:
        figures = Figures(**found)
    except (TypeError, AttributeError):
        return None
    return figures if figures.best.removesuffix(" compiled") in ways else None


def _ago(seconds: float) -> str:
    for name, length in (("day", _DAY), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"

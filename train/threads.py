"""Adapt the number of threads of a step to other programs on the same CPU.

The threads of a step wait for each other at every layer. If another program uses one of their CPUs, all of them
wait: with two busy programs per core, two threads can be a hundred times slower than one thread.

Sums are split by thread, so another number of threads rounds differently. A run whose threads changed is as good as
one whose threads did not, but not bit-identical. Without autotuning, the number of threads does not change.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from gantool.runtime.process.cpus import Others, cores
from gantool.train.options import TrainingOptions

WINDOW, TRIAL = 1.0, 0.5  # seconds to measure a rate: between trials, in a trial
SLOW, STUCK = 1 / 2, 1 / 3  # below these fractions of the best rate, try half the threads, or one
BETTER = 1.1  # change the number of threads if the rate is this many times higher
SHORTEST, LONGEST_DOWN, LONGEST_UP = 4.0, 60.0, 300.0  # seconds between trials
_LOOK = 0.2  # seconds to measure the CPU use of other programs before the first step
_log = logging.getLogger(__name__)
_CHEAP = 20.0  # a trial of more threads is followed by a pause of at least this many times its duration


@dataclass(frozen=True)
class Rate:
    """The speed with a number of threads."""

    threads: int
    images: float  # per second


@dataclass(frozen=True)
class Change:
    """A change to another number of threads, which is faster."""

    before: Rate
    after: Rate

    def __str__(self) -> str:
        old, new = self.before, self.after
        what = "the machine is busy" if new.threads < old.threads else "the machine has room"
        return (
            f"{what}: {old.images:,.0f} images/s with {_threads(old.threads)}, {new.images:,.0f} with "
            f"{new.threads}; continuing with {new.threads}"
        )


@dataclass
class Threads:
    """Decides after each step how many threads the next one uses.

    If the rate falls below half of the best known, it tries half the threads for a moment; below a third, one
    thread. It keeps the new number if it is faster. While there are fewer threads than `most`, it sometimes tries
    twice as many, if enough CPUs are free, and less and less often while that does not help.
    """

    count: int  # threads of the next step
    most: int
    best: float | None = None  # images per second, of the autotuner or of the best window so far
    room: Callable[[], int] | None = None  # returns the number of free CPUs; None: not limited
    _now: float = 0.0  # total seconds of steps
    _seconds: float = 0.0  # of the current window
    _images: int = 0  # of the current window
    _slowest: float = 0.0  # seconds of the slowest step of the window
    _settling: bool = True  # the next step is the first with this number of threads, and prepares kernels
    _baseline: Rate | None = None  # the rate before the current trial; None: no trial is running
    _began: float = 0.0  # start of the trial
    _cost: float = 0.0  # seconds of the slowest step before the trial
    _down_at: float = 0.0
    _down_pause: float = SHORTEST
    _up_at: float = SHORTEST
    _up_pause: float = SHORTEST
    _rose_at: float = field(default=-LONGEST_UP)

    @property
    def trying(self) -> bool:
        """Whether a trial of `count` threads is running."""
        return self._baseline is not None

    def after(self, seconds: float, images: int) -> Change | None:
        """Record a step; return a Change if a trial found a faster number of threads, else None."""
        self._now += seconds
        settling, self._settling = self._settling, False
        if settling and seconds < TRIAL:  # in a longer step, the preparation does not matter
            return None
        self._slowest = max(self._slowest, seconds)
        self._seconds += seconds
        self._images += images
        if self._seconds < (TRIAL if self.trying else WINDOW):
            return None
        rate = Rate(self.count, self._images / self._seconds)
        self._seconds, self._images = 0.0, 0
        change = None
        if self._baseline:
            change = self._judge(self._baseline, rate)
        else:
            self._plan(rate)
        self.best = max(self.best or 0.0, rate.images)
        self._slowest = 0.0
        return change

    def _plan(self, rate: Rate) -> None:
        slow = self.best is None or rate.images < SLOW * self.best
        if slow and self.count > 1 and self._now >= self._down_at:
            stuck = self.best is None or rate.images < STUCK * self.best
            self._try(1 if stuck else self.count // 2, rate)
        elif self.count < self.most and self._now >= self._up_at:
            # with too few free CPUs, a single step can take half a minute
            more = min(2 * self.count, self.most, self.room() if self.room else self.most)
            if more > self.count:
                self._try(more, rate)
            else:
                self._up_at = self._now + SHORTEST

    def _try(self, count: int, baseline: Rate) -> None:
        self._baseline, self._began = baseline, self._now
        self._cost = self._slowest  # a trial takes at least as long as this
        self.count, self._settling = count, True

    def _judge(self, baseline: Rate, rate: Rate) -> Change | None:
        self._baseline = None
        down, better = rate.threads < baseline.threads, rate.images > BETTER * baseline.images
        if not better:
            self.count, self._settling = baseline.threads, True
            if down:
                self._down_at = self._now + self._down_pause
                self._down_pause = min(2 * self._down_pause, LONGEST_DOWN)
            else:
                self._up_pause = min(2 * self._up_pause, LONGEST_UP)
                self._up_at = self._now + max(_CHEAP * (self._now - self._began), self._up_pause)
            return None
        self._down_at, self._down_pause = self._now, SHORTEST
        if down:  # soon after an increase, which came too early: wait longer before the next one
            held = self._now - self._rose_at
            self._up_pause = SHORTEST if held >= LONGEST_UP else min(2 * self._up_pause, LONGEST_UP)
            self._up_at = self._now + max(_CHEAP * self._cost, self._up_pause)
        else:
            self._rose_at = self._now
            self._up_at = self._now + SHORTEST
        return Change(baseline, rate)


class AdaptiveThreads:
    """Times the steps of a run, each in a `with` block, and sets the threads of the next one."""

    def __init__(self, options: TrainingOptions, best: float | None) -> None:
        """Set the threads of the first step. `best`: the autotuner's rate in images/s, if known."""
        self._batch, self._warned = options.batch, False
        self.count = torch.get_num_threads()
        self._threads: Threads | None = None
        if options.threads:
            self.count = min(options.threads, cores())
            if self.count < options.threads:
                _log.warning(
                    "this run began with %s and continues with %d, one per CPU that it may use; from here on its "
                    "results are not bit-identical",
                    _threads(options.threads),
                    self.count,
                )
            if options.threads_up_to:
                most = min(options.threads_up_to, cores())
                self._others = Others()
                time.sleep(_LOOK)
                if (room := self._room()) < self.count:
                    _log.warning(
                        "other programs use the CPU: starting with %d of %s", room, _threads(self.count)
                    )
                    self.count = room
                self._threads = Threads(self.count, most, best, self._room)
            torch.set_num_threads(self.count)
        _log.debug("steps run on %s", _threads(torch.get_num_threads()))

    def _room(self) -> int:
        """Return how many CPUs were free since the last call."""
        before, self._others = self._others, Others()
        return before.room()

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._threads is None:
            return
        change = self._threads.after(time.perf_counter() - self._started, self._batch)
        if change:
            fewer = change.after.threads < change.before.threads
            _log.log(logging.WARNING if fewer else logging.INFO, "%s", change)
        if self._threads.count != self.count:
            if not self._warned:
                self._warned = True
                _log.warning(
                    "the number of threads now follows the room on this machine, so from here on the results are "
                    "not bit-identical (`autotune=False` keeps one number)"
                )
            self.count = self._threads.count
            torch.set_num_threads(self.count)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"

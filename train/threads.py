"""How many threads compute a step, on a CPU that other programs use as well.

The threads of a step wait for each other at every layer. Where another program holds one of their CPUs back, all
stand still: two threads beside two busy programs a core can make a hundredth of the images that one makes.

Sums are cut into parts by thread, so another number of threads rounds otherwise: a run whose threads changed is as
good as one whose threads did not, and not the same bit by bit. The threads of a run that is not autotuned stay.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from gantool.runtime.process.cpus import Others, cores
from gantool.train.options import TrainingOptions

WINDOW, TRIAL = 1.0, 0.5  # seconds over which a rate is taken
SLOW, STUCK = 1 / 2, 1 / 3  # of the best rate: half the threads are tried, or one
BETTER = 1.1  # times the rate, to change
SHORTEST, LONGEST_DOWN, LONGEST_UP = 4.0, 60.0, 300.0  # seconds between trials
_LOOK = 0.2  # seconds, before the first step, to see what other programs use
_CHEAP = 20.0  # times as long as a trial of more threads took, at least, until the next


@dataclass(frozen=True)
class Rate:
    """What so many threads made."""

    threads: int
    images: float  # a second


@dataclass(frozen=True)
class Change:
    """From one number of threads to another that is faster now."""

    before: Rate
    after: Rate

    def __str__(self) -> str:
        old, new = self.before, self.after
        what = "the machine is busy" if new.threads < old.threads else "the machine has room again"
        return (
            f"{what}: {old.images:,.0f} images/s with {_threads(old.threads)}, {new.images:,.0f} with "
            f"{new.threads}; going on with {new.threads}"
        )


@dataclass
class Threads:
    """Fed with each step, it decides how many threads the next one has: those that make the most.

    Where the rate falls under half of the best one known, half the threads are tried for a moment, under a third
    one thread; they stay if they are faster. While there are fewer than `most`, twice as many are tried now and
    then where other programs leave room for them, ever more rarely while that does not help.
    """

    count: int  # of the next step
    most: int
    best: float | None = None  # images a second, of the tuner or the best window so far
    room: Callable[[], int] | None = None  # threads that find a CPU of their own; None: any number
    _now: float = 0.0  # seconds of steps
    _seconds: float = 0.0  # of the window
    _images: int = 0
    _slowest: float = 0.0  # step of the window
    _settling: bool = True  # the first step with other threads prepares its kernels
    _home: Rate | None = None  # what a trial is compared with; None while there is no trial
    _began: float = 0.0  # the trial
    _cost: float = 0.0  # seconds of the slowest step before it
    _down_at: float = 0.0
    _down_pause: float = SHORTEST
    _up_at: float = SHORTEST
    _up_pause: float = SHORTEST
    _rose_at: float = field(default=-LONGEST_UP)

    @property
    def trying(self) -> bool:
        """Whether `count` is on trial."""
        return self._home is not None

    def after(self, seconds: float, images: int) -> Change | None:
        """Take note of a step; return a change that is made."""
        self._now += seconds
        settling, self._settling = self._settling, False
        if settling and seconds < TRIAL:  # a step so long hides what it prepares
            return None
        self._slowest = max(self._slowest, seconds)
        self._seconds += seconds
        self._images += images
        if self._seconds < (TRIAL if self.trying else WINDOW):
            return None
        rate = Rate(self.count, self._images / self._seconds)
        self._seconds, self._images = 0.0, 0
        change = None
        if self._home:
            change = self._judge(self._home, rate)
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
            # without room for them, one step of theirs can take half a minute
            more = min(2 * self.count, self.most, self.room() if self.room else self.most)
            if more > self.count:
                self._try(more, rate)
            else:
                self._up_at = self._now + SHORTEST

    def _try(self, count: int, home: Rate) -> None:
        self._home, self._began = home, self._now
        self._cost = self._slowest  # of a trial of what there is now, or more
        self.count, self._settling = count, True

    def _judge(self, home: Rate, rate: Rate) -> Change | None:
        self._home = None
        down, better = rate.threads < home.threads, rate.images > BETTER * home.images
        if not better:
            self.count, self._settling = home.threads, True
            if down:
                self._down_at = self._now + self._down_pause
                self._down_pause = min(2 * self._down_pause, LONGEST_DOWN)
            else:
                self._up_pause = min(2 * self._up_pause, LONGEST_UP)
                self._up_at = self._now + max(_CHEAP * (self._now - self._began), self._up_pause)
            return None
        self._down_at, self._down_pause = self._now, SHORTEST
        if down:  # soon after rising: it rose too early, and waits longer for the next time
            held = self._now - self._rose_at
            self._up_pause = SHORTEST if held >= LONGEST_UP else min(2 * self._up_pause, LONGEST_UP)
            self._up_at = self._now + max(_CHEAP * self._cost, self._up_pause)
        else:
            self._rose_at = self._now
            self._up_at = self._now + SHORTEST
        return Change(home, rate)


class AdaptiveThreads:
    """Time the steps of a run, each in a `with`, and set the threads of the next."""

    def __init__(self, options: TrainingOptions, best: float | None, line: Callable[[str], None]) -> None:
        """Set the threads of the first. `best` is the rate of the tuner; `line` takes what the user should see."""
        self._line, self._batch, self._told = line, options.batch, False
        self.count = torch.get_num_threads()
        self._threads: Threads | None = None
        if options.threads:
            self.count = min(options.threads, cores())
            if self.count < options.threads:
                line(
                    f"this run began with {_threads(options.threads)} and goes on with {self.count}, one for each "
                    "CPU that it may use; its results are not bit-identical from here on"
                )
            if options.threads_up_to:
                most = min(options.threads_up_to, cores())
                self._others = Others()
                time.sleep(_LOOK)
                if (room := self._room()) < self.count:
                    line(f"other programs use the CPU: beginning with {room} of {_threads(self.count)}")
                    self.count = room
                self._threads = Threads(self.count, most, best, self._room)
            torch.set_num_threads(self.count)

    def _room(self) -> int:
        """Return how many threads found a CPU of their own since the last call."""
        before, self._others = self._others, Others()
        return before.room()

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._threads is None:
            return
        change = self._threads.after(time.perf_counter() - self._started, self._batch)
        if change:
            self._line(str(change))
        if self._threads.count != self.count:
            if not self._told:
                self._told = True
                self._line(
                    "other programs slow this run down: it tries other numbers of threads, so its results are not "
                    "bit-identical from here on (--no-autotune keeps one number)"
                )
            self.count = self._threads.count
            torch.set_num_threads(self.count)


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"

"""The training loop: discriminator and generator in turn, a tick now and then, a snapshot now and then."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import numpy as np
import torch
from numpy.typing import NDArray

from gantool.models import CHECKPOINT_NAME, Generator
from gantool.runtime.errors import GantoolError
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.outputs.writer import grid, save_image
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.seeds import labels as seed_labels
from gantool.runtime.seeds import latents
from gantool.runtime.spec import Images
from gantool.train.data.dataset import ImageData
from gantool.train.data.streams import aside
from gantool.train.distributed import LostProcessError, agree, mean, mine, watched
from gantool.train.metrics.evaluate import spread_images
from gantool.train.monitors import Alarms, Metric, diversity
from gantool.train.options import TrainingOptions
from gantool.train.progress import Report
from gantool.train.run_dir import STATE_NAME, STATS_NAME, fakes_name
from gantool.train.state import (
    TrainingState,
    compiled,
    random_state,
    save_generator,
    save_state,
    settle_average,
    update_average,
)
from gantool.train.step import Classes, Losses, Pixels, step
from gantool.train.threads import AdaptiveThreads

Batch = tuple[Pixels, Classes | None]  # [B, H, W, C], [B]

FAKES = 64  # seeds 0..63 in fakes000123.png
EARLY = (15.0, 60.0, 300.0)  # seconds of a run after which it shows and saves what it has,
OFTEN = 300.0  # and how long it goes on after that without saving
LONG = 12.0  # hours: a run that will take more says so,
SURE = 60.0  # after so many seconds: one slow step says little


@dataclass(frozen=True)
class Run:
    """What a run is made of and where it goes."""

    options: TrainingOptions
    data: ImageData
    folder: Path
    rate: float | None = None  # images a second that it can reach here, as far as is known
    spent: float = 0.0  # seconds that count as training: they found out how


def train(run: Run, state: TrainingState, report: Report) -> bool:
    """Train until the options say stop. Return whether it was interrupted.

    Interrupted (by a signal; one process is enough) it ends after the step at hand and saves as at any other
    end. Raises GantoolError if a loss is no longer finite; the last snapshot is left as it is. The first process
    writes and reports. Where another one is lost, the generator is saved as it is, and LostProcessError raised.
    """
    options, fabric = run.options, state.fabric
    metric = _metric(run, state, report)
    alarms = Alarms(diversity(spread_images(run.data.images, FAKES)))
    clock = Clock()
    total, snap = options.kimg * 1000, options.tick * options.snap
    limit = math.inf if options.minutes is None else max(options.minutes * 60 - run.spent, 0.001)
    ticks = Ticks(state.images_seen, state.seconds)
    pace = Pace(options, state.images_seen, state.seconds)
    threads = AdaptiveThreads(options, run.rate, report.line)
    began, saved_at, measured_at = state.seconds, state.seconds, -1  # seconds; images seen
    if options.compile:
        compiled(state)
    with _saved_if_lost(run, state), stop_signals() as signals, Feed(run, state) as feed:
        stopping = False
        if not state.images_seen and fabric.is_global_zero:
            with aside(fabric.device):
                save_fakes(run, state)
        while state.images_seen < total and state.seconds - began < limit and not stopping:
            with watched(fabric):
                _step(options, state, feed, threads, ticks)
                stopping, seconds = agree(fabric, bool(signals), clock.seconds())
            before = state.images_seen
            state.images_seen += options.batch
            update_average(state, options)
            state.seconds = began + seconds
            pace.show(report, state)
            if ticked := _due(before, state.images_seen, options.tick, options.tick):
                ticks = tick(run, state, report, ticks, feed.waited(), alarms, pace.left(state))
                if metric and _due(before, state.images_seen, options.tick, options.metric_every):
                    with clock.stopped(), _kept_going(report):
                        _measure(run, state, report, metric)
                    measured_at = state.images_seen
            if state.seconds - began >= SURE and (warning := pace.warning(state)):
                report.line(warning)
            due = ticked and _due(before, state.images_seen, options.tick, snap)
            if due or _late(saved_at, state.seconds):
                saved_at = state.seconds
                with _kept_going(report):
                    snapshot(run, state, report, alarms)
        if ticks.losses:
            tick(run, state, report, ticks, feed.waited(), alarms, None)
        if metric and not stopping and measured_at < state.images_seen:
            _measure(run, state, report, metric)
        _end(run, state, report, alarms)
    return stopping


def _metric(run: Run, state: TrainingState, report: Report) -> Metric | None:
    """Return what measures the images on the way, if that is asked for."""
    if not run.options.metric_every:
        return None
    with aside(state.device):
        return Metric(run.folder, run.data, state.fabric, report.line)


def _step(
    options: TrainingOptions, state: TrainingState, feed: Feed, threads: AdaptiveThreads, ticks: Ticks
) -> None:
    """Train on the next images; what comes of it is for the tick."""
    batch = feed.next()
    ticks.threads.append(threads.count)
    with threads:
        ticks.losses.append(step(options, state, *batch))


def _end(run: Run, state: TrainingState, report: Report, alarms: Alarms) -> None:
    """Save all; no process ends before, as whoever started them may end the others."""
    snapshot(run, state, report, alarms)
    with watched(state.fabric):
        state.fabric.barrier()


@contextmanager
def _saved_if_lost(run: Run, state: TrainingState) -> Iterator[None]:
    """Where another process is lost, save the generator of the last whole step; all else may be of half a step."""
    try:
        yield
    except LostProcessError as error:
        if not state.fabric.is_global_zero:
            raise
        average = settle_average(state, run.options)
        if not all(weight.isfinite().all() for weight in average.state_dict().values()):
            raise _diverged(run, state) from error
        save_generator(run.folder / CHECKPOINT_NAME, average, state.images_seen, run.data)
        resumable = (run.folder / STATE_NAME).exists()
        raise LostProcessError(
            f"{error}; the generator of kimg {state.images_seen / 1000:.1f} is in {run.folder / CHECKPOINT_NAME}; "
            + (f"go on with gantool train --resume {quote(str(run.folder))}" if resumable else "start again")
        ) from error


def _due(before: int, now: int, tick: float, every: float | None) -> bool:
    """Return whether the step from `before` to `now` images ended a tick, and in it so many kimg were full again.

    It depends on the position alone, so that a resumed run does all where an unbroken one does.
    """
    if every is None:
        return False
    images = max(round(tick * 1000), 1)
    step = max(round(every * 1000), 1)
    return now // images * images // step > before // images * images // step


def _late(saved_at: float, seconds: float) -> bool:
    """Return whether it is time to save, at this second of the run."""
    return seconds - saved_at >= OFTEN or any(saved_at < early <= seconds for early in EARLY)


@contextmanager
def _kept_going(report: Report) -> Iterator[None]:
    """Report a disk that cannot be written to; there may be room at the next try."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        report.line(
            f"note: cannot write{where}: {error.strerror or error}; training goes on, and tries again later"
        )


def _measure(run: Run, state: TrainingState, report: Report, metric: Metric) -> None:
    with aside(state.device):
        average = settle_average(state, run.options)
        with watched(state.fabric):
            value = metric(average, state.images_seen, state.seconds, state.best)
    if value is None:
        return
    report.scalars(value, state.images_seen)
    mark = ", the best so far" if value["fd"] < state.best else ""
    state.best, state.measured = min(state.best, value["fd"]), value["fd"]
    report.line(
        f"kimg {value['kimg']:<8.1f} Fréchet distance {value['fd']:.2f}{mark}; precision {value['precision']:.2f} "
        f"recall {value['recall']:.2f} diversity {value['diversity']:.2f} copies {value['copies']:.3f} "
        f"(took {value['took']:.1f} s)"
    )


class Clock:
    """Seconds of training, without those of measuring."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since it was made, while it was not stopped."""
        return time.monotonic() - self.started

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count what happens inside."""
        before = time.monotonic()
        yield
        self.started += time.monotonic() - before


@dataclass
class Pace:
    """How fast a session goes, from where it began, and how far it is from its limits."""

    options: TrainingOptions
    images_seen: int
    seconds: float
    warned: bool = False

    def rate(self, state: TrainingState) -> float:
        """Return the images a second."""
        return (state.images_seen - self.images_seen) / max(state.seconds - self.seconds, 1e-9)

    def left(self, state: TrainingState) -> float:
        """Return the seconds to the limit that comes first."""
        by_kimg = (self.options.kimg * 1000 - state.images_seen) / self.rate(state)
        return max(min(by_kimg, self._limit() - (state.seconds - self.seconds)), 0.0)

    def show(self, report: Report, state: TrainingState) -> None:
        """Move the bar: to the share of the limit that is nearer."""
        of_kimg = state.images_seen / (self.options.kimg * 1000)
        of_time = (state.seconds - self.seconds) / self._limit()
        limit = f"{self.options.minutes:g} minutes" if of_time > of_kimg else f"{self.options.kimg:g} kimg"
        done, rate = state.images_seen / 1000, self.rate(state)
        report.advance(max(of_kimg, of_time), f"of {limit}  kimg {done:.1f}  {_pace(rate)}")

    def warning(self, state: TrainingState) -> str | None:
        """Return a line, at the first call, if the run takes long and no limit of minutes was given."""
        hours = self.left(state) / 3600
        if self.warned or self.options.minutes is not None or hours < LONG:
            self.warned = True
            return None
        self.warned = True
        time = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.0f} hours"
        return (
            f"note: at {_pace(self.rate(state))}, the rest of {self.options.kimg:g} kimg takes {time}. It "
            "is saved on the way, and Ctrl-C ends it at any time; --minutes sets an end, and a smaller --size or "
            "preset, or a GPU, is faster"
        )

    def _limit(self) -> float:
        return math.inf if self.options.minutes is None else self.options.minutes * 60


class Feed:
    """The images of each step, fetched by a thread while the step before is computed."""

    def __init__(self, run: Run, state: TrainingState) -> None:
        self.run, self.position = run, state.images_seen
        self.share = mine(state.fabric)
        self.sampler = Sampler(len(run.data.images), run.options.seed)
        self.pool = ThreadPoolExecutor(1)
        self.wait = 0.0  # seconds

    def __enter__(self) -> Feed:
        self.future = self.pool.submit(self._fetch, self.position)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.pool.shutdown()

    def next(self) -> Batch:
        """Return this process's share of the next images, uint8 [B, H, W, C], and of their labels, [B]."""
        started = time.perf_counter()
        batch = self.future.result()
        self.wait += time.perf_counter() - started
        self.position += self.run.options.batch
        self.future = self.pool.submit(self._fetch, self.position)
        return batch

    def waited(self) -> float:
        """Return the seconds that steps waited for images since the last call."""
        waited, self.wait = self.wait, 0.0
        return waited

    def _fetch(self, position: int) -> Batch:
        chosen = self.sampler.indices(position, self.run.options.batch)[self.share]
        labels = self.run.data.labels if self.run.options.network.classes else None
        return self.run.data.images[chosen], None if labels is None else labels.values[chosen]


class Sampler:
    """Which images a step sees: a new permutation each epoch, a function of seed and position alone.

    So a resumed run goes on with the very images that an unbroken one would see.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = -1
        self.order = np.empty(0, np.int64)  # [count], of the epoch

    def indices(self, position: int, batch: int) -> NDArray[np.int64]:
        """Return the indices, [batch], of the images from `position` on, counted from the start of the run."""
        parts = []
        while batch:
            epoch, start = divmod(position, self.count)
            if epoch != self.epoch:
                self.epoch = epoch
                self.order = _stream(self.seed, epoch).permutation(self.count)
            part = self.order[start : start + batch]
            parts.append(part)
            position, batch = position + len(part), batch - len(part)
        return np.concatenate(parts)


def _stream(seed: int, epoch: int) -> np.random.RandomState:
    """Return the random stream of an epoch: RandomState, which NumPy has frozen, of 32-bit words."""
    return np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, epoch])


@dataclass(frozen=True)
class Ticks:
    """What the next tick reports on: all since the last one."""

    images_seen: int
    seconds: float
    losses: list[Losses] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)


def tick(
    run: Run,
    state: TrainingState,
    report: Report,
    last: Ticks,
    waited: float,
    alarms: Alarms,
    left: float | None,
) -> Ticks:
    """Report the mean losses since the last tick, with `left` seconds to go, and begin the next.

    Raises GantoolError on NaN.
    """
    names = ("discriminator", "generator", "sign", "right")
    means = torch.stack([torch.stack([getattr(each, name) for each in last.losses]).mean() for name in names])
    with watched(state.fabric):
        d_loss, g_loss, sign, right = mean(state.fabric, means).tolist()
    if not math.isfinite(d_loss + g_loss):
        raise _diverged(run, state)
    seconds = state.seconds - last.seconds
    state.tick += 1
    values = {
        "tick": state.tick,
        "kimg": state.images_seen / 1000,
        "seconds": round(state.seconds, 2),
        "sec_per_kimg": round(seconds / (state.images_seen - last.images_seen) * 1000, 4),
        "loss_d": round(d_loss, 5),
        "loss_g": round(g_loss, 5),
        "real_sign": round(sign, 4),
        "right": round(right, 4),
        "augment_p": round(state.augment_p, 4),
        "data_wait": round(waited / max(seconds, 1e-9), 4),  # share of the time
        "threads": round(sum(last.threads) / len(last.threads), 2),  # not whole where they changed
    }
    if state.fabric.is_global_zero:
        with _kept_going(report), (run.folder / STATS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
    report.scalars(values, state.images_seen)
    rate = (state.images_seen - last.images_seen) / max(seconds, 1e-9)
    report.line(
        f"tick {state.tick:<5d} kimg {values['kimg']:<8.1f} time {_duration(state.seconds):<8s} {_pace(rate):>6s} "
        f"loss D {d_loss:<6.3f} G {g_loss:<6.3f} data {values['data_wait']:.1%}"
        + (f"  p {state.augment_p:.3f}" if run.options.augment == "ada" else "")
        + (f"  left {_duration(left)}" if left is not None else "")
    )
    if alarm := alarms.after_tick(state.images_seen / 1000, right):
        report.line(alarm)
    return Ticks(state.images_seen, state.seconds)


def snapshot(run: Run, state: TrainingState, report: Report, alarms: Alarms) -> None:
    """Write a sheet of fakes, the checkpoint and the resume state."""
    with watched(state.fabric):
        random = random_state(state)
    if not state.fabric.is_global_zero:
        return
    with aside(state.device):
        average, fakes = save_fakes(run, state)
    save_generator(run.folder / CHECKPOINT_NAME, average, state.images_seen, run.data)
    if alarm := alarms.after_snapshot(state.images_seen / 1000, fakes):
        report.line(alarm)
    save_state(run.folder / STATE_NAME, state, random)


def save_fakes(run: Run, state: TrainingState) -> tuple[Generator, Images]:
    """Write a sheet of fixed seeds, made by the averaged generator; return both. Raises on NaN."""
    average = settle_average(state, run.options)
    network = run.options.network
    z = torch.from_numpy(latents(range(FAKES), network.latent, network.distribution)).to(state.device)
    label = None
    if network.classes:
        label = torch.from_numpy(seed_labels(range(FAKES), network.classes)).to(state.device)
    with torch.no_grad():
        fakes = average(z, label).cpu().numpy()  # [64, C, H, W]
    if not np.isfinite(fakes).all():
        raise _diverged(run, state)
    images = to_uint8(fakes)
    save_image(run.folder / fakes_name(state.images_seen), grid(images, columns=8))
    return average, images


def _diverged(run: Run, state: TrainingState) -> GantoolError:
    checkpoint = run.folder / CHECKPOINT_NAME
    kept = (
        f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "no checkpoint was saved yet"
    )
    return GantoolError(
        f"training diverged: losses or weights became NaN or infinite by kimg {state.images_seen / 1000:.1f}; "
        f"lower --lr (it is {run.options.lr:g}) or raise --batch (it is {run.options.batch}); {kept}"
    )


def _pace(rate: float) -> str:
    return f"{rate:,.0f} img/s" if rate >= 100 else f"{rate:.3g} img/s"


def _duration(seconds: float) -> str:
    """Write seconds as StyleGAN's tick line does: 12s, 3m 05s, 1h 02m 03s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"

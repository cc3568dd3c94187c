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
from gantool.runtime.images import to_uint8
from gantool.runtime.seeds import labels as seed_labels
from gantool.runtime.seeds import latents
from gantool.runtime.signals import stop_signals
from gantool.runtime.spec import Images
from gantool.runtime.writer import grid, save_image
from gantool.train.data import ImageData
from gantool.train.evaluate import spread_images
from gantool.train.options import TrainingOptions
from gantool.train.processes import LostProcessError, agree, mean, mine, watched
from gantool.train.progress import Report
from gantool.train.run import STATE_NAME, STATS_NAME
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
from gantool.train.threads import Pace
from gantool.train.watch import Alarms, Metric, diversity

Batch = tuple[Pixels, Classes | None]  # [B, H, W, C], [B]

FAKES = 64  # seeds 0..63 in fakes000123.png


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

    Interrupted (SIGINT, SIGTERM; one process is enough) it ends after the step at hand and saves as at any other
    end. Raises GantoolError if a loss is no longer finite; the last snapshot is left as it is. The first process
    writes and reports. Where another one is lost, the generator is saved as it is, and LostProcessError raised.
    """
    options, fabric = run.options, state.fabric
    metric = Metric(run.folder, run.data, fabric, report.line) if options.metric_every else None
    alarms = Alarms(diversity(spread_images(run.data.images, FAKES)))
    seconds_before = state.seconds
    clock = Clock()
    total = options.kimg * 1000
    limit = math.inf if options.minutes is None else max(options.minutes * 60 - run.spent, 0.001)
    ticks = Ticks(state.images_seen, state.seconds)
    measured_at = -1  # images seen
    pace = Pace(options, run.rate, report.line)
    if options.compile:
        compiled(state)
    with _saved_if_lost(run, state), stop_signals() as signals, Feed(run, state) as feed:
        stopping = False
        if not state.images_seen and fabric.is_global_zero:
            save_fakes(run, state)
        while state.images_seen < total and state.seconds - seconds_before < limit and not stopping:
            with watched(fabric):
                batch = feed.next()
                ticks.threads.append(pace.count)
                with pace:
                    ticks.losses.append(step(options, state, *batch))
                stopping, seconds = agree(fabric, bool(signals), clock.seconds())
            state.images_seen += options.batch
            update_average(state, options)
            state.seconds = seconds_before + seconds
            report.advance(
                max(state.images_seen / total, (state.seconds - seconds_before) / limit),
                f"kimg {state.images_seen / 1000:.1f}",
            )
            if state.images_seen - ticks.images_seen >= options.tick * 1000:
                kimg_before = ticks.images_seen / 1000
                ticks = tick(run, state, report, ticks, feed.waited(), alarms)
                if metric and _crossed(kimg_before, state.images_seen / 1000, options.metric_every):
                    with clock.stopped():
                        _measure(run, state, report, metric)
                    measured_at = state.images_seen
                if state.tick % options.snap == 0:
                    snapshot(run, state, report, alarms)
        if ticks.losses:
            tick(run, state, report, ticks, feed.waited(), alarms)
        if metric and not stopping and measured_at < state.images_seen:
            _measure(run, state, report, metric)
        snapshot(run, state, report, alarms)
        with watched(fabric):
            fabric.barrier()  # none ends before all is written: whoever started them may end the others
    return stopping


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


def _crossed(before: float, now: float, every: float | None) -> bool:
    return every is not None and now // every > before // every


def _measure(run: Run, state: TrainingState, report: Report, metric: Metric) -> None:
    average = settle_average(state, run.options)
    with watched(state.fabric):
        value = metric(average, state.images_seen, state.seconds, state.best)
    if value is None:
        return
    report.scalars(value, state.images_seen)
    mark = ", the best so far" if value["fd"] < state.best else ""
    state.best = min(state.best, value["fd"])
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


def tick(run: Run, state: TrainingState, report: Report, last: Ticks, waited: float, alarms: Alarms) -> Ticks:
    """Report the mean losses since the last tick, and begin the next. Raises GantoolError on NaN."""
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
        with (run.folder / STATS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
    report.scalars(values, state.images_seen)
    report.tick(
        f"tick {state.tick:<5d} kimg {values['kimg']:<8.1f} time {_duration(state.seconds):<12s} "
        f"sec/tick {seconds:<7.1f} sec/kimg {values['sec_per_kimg']:<7.3f} loss D {d_loss:<7.3f} G {g_loss:<7.3f} "
        f"data {values['data_wait']:.1%}"
        + (f" p {state.augment_p:.3f}" if run.options.augment == "ada" else "")
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
    save_image(run.folder / f"fakes{state.images_seen // 1000:06d}.png", grid(images, columns=8))
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


def _duration(seconds: float) -> str:
    """Write seconds as StyleGAN's tick line does: 12s, 3m 05s, 1h 02m 03s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"

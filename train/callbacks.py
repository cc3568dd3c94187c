"""The callbacks of the training loop: progress, collapse alarm, Fréchet metric and snapshots.

All processes call the same hooks at the same steps; only rank zero writes files.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantool.models import CHECKPOINT_NAME, Generator
from gantool.models.sampling import config_inputs, float_images, sample_images
from gantool.runtime.classes import labels, labels_of_data
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.images import eight_bits, sheet, to_uint8
from gantool.runtime.progress import Task
from gantool.runtime.spec import Images
from gantool.train.data.streams import aside
from gantool.train.distributed import detect_lost_rank, gather
from gantool.train.ema import recalibrate_batchnorm
from gantool.train.metrics.extractors import Extractor, find_extractor
from gantool.train.metrics.measure import append_metric, measure, subsample
from gantool.train.monitors import CollapseMonitor, diversity, diversity_of_classes
from gantool.train.run_dir import BEST_NAME, STATE_NAME, STATS_NAME, fakes_name
from gantool.train.session import Pace, Session, Stopwatch, diverged, duration_text, rate_text
from gantool.train.state import TrainingState, random_state, save_generator, save_state
from gantool.train.ticks import TickStats, interval_ended

FAKES = 64  # seeds 0..63 in fakes000123.png
EARLY = (15.0, 60.0, 300.0)  # seconds after which a run saves a snapshot
OFTEN = 300.0  # longest time between snapshots, in seconds
SAMPLES = 5000  # images that the Fréchet metric compares

_log = logging.getLogger(__name__)


class Callback:
    """The hooks of the loop. They do nothing; a callback overrides those that it needs."""

    def on_start(self) -> None:
        """Run before the first step."""

    def on_tick(self, stats: TickStats) -> None:
        """Run after the step that ends a tick, and before `on_step`; once more at the end for a partial tick."""

    def on_step(self) -> None:
        """Run after each step."""

    def on_end(self, stopped: bool) -> None:
        """Run after the last step. `stopped`: a signal ended the run."""


class ProgressLine(Callback):
    """Updates the bar at each step; logs a line and writes a record to stats.jsonl at each tick."""

    def __init__(self, session: Session, state: TrainingState, bar: Task) -> None:
        self.session, self.state, self.bar = session, state, bar
        self.pace = Pace(session, state)

    def on_start(self) -> None:
        """Set the bar to the start of the session, so that its rate is that of this session."""
        self._update_bar()

    def on_tick(self, stats: TickStats) -> None:
        """Log and write losses and speed."""
        values = stats.to_json()
        if self.state.fabric.is_global_zero:
            path = self.session.folder / STATS_NAME
            with survives_full_disk(), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        _log.info(
            "%s",
            f"tick {stats.tick:<5d} kimg {stats.kimg:<8.1f} time {duration_text(stats.total_seconds):<8s} "
            f"{rate_text(stats.rate):>6s} loss D {stats.loss_d:<6.3f} G {stats.loss_g:<6.3f} "
            + ("" if stats.distance is None else f"distance {stats.distance:<7.4f} ")
            + f"data {values['data_wait']:.1%}"
            + (f"  p {stats.augment_p:.3f}" if self.session.options.augment == "ada" else "")
            + ("" if stats.last else f"  left {duration_text(self.pace.left(self.state))}"),
        )

    def on_step(self) -> None:
        """Update the bar; warn once about a run that will take long."""
        self._update_bar()
        if warning := self.pace.warning(self.state):
            _log.warning("%s", warning)

    def _update_bar(self) -> None:
        total, text = self.pace.progress(self.state)
        self.bar.update(self.state.images_seen / 1000, text, total)


class CollapseAlarm(Callback):
    """Warns when the discriminator is too far ahead, or when generated images become alike."""

    def __init__(self, session: Session, state: TrainingState) -> None:
        self.state = state
        options, known = session.options, session.data.labels
        of_data = diversity(eight_bits(subsample(session.data.images, FAKES)))
        self.labels, of_classes = None, {}
        if known and 0 < options.network.classes <= FAKES // 2:  # there are two fakes of each
            self.labels = labels(range(FAKES), options.network.classes)
            real = _of_each_class(session.data.images, known.values, -(-FAKES // options.network.classes))
            of_classes = diversity_of_classes(*real)
        student = session.teacher is not None
        self.monitor = CollapseMonitor(of_data, of_classes, student, options.penalty("r1"))

    def on_tick(self, stats: TickStats) -> None:
        """Check the accuracy of the discriminator."""
        if alarm := self.monitor.after_tick(stats.kimg, stats.d_accuracy):
            _log.warning("%s", alarm)

    def on_fakes(self, images: Images) -> None:
        """Check the diversity of a snapshot's images."""
        if alarm := self.monitor.after_snapshot(self.state.images_seen / 1000, images, self.labels):
            _log.warning("%s", alarm)


def _of_each_class(images: Images, values: NDArray[np.int64], count: int) -> tuple[Images, NDArray[np.int64]]:
    """Return at most `count` images of each class, evenly spaced, and their classes."""
    of_classes = [np.flatnonzero(values == each) for each in np.unique(values)]
    places = np.concatenate([each[:: -(-len(each) // count)] for each in of_classes])
    return eight_bits(images[places]), values[places]


class FrechetMetric(Callback):
    """Measures the Fréchet distance of the EMA to the data, and keeps the best checkpoint.

    Each process generates its share of the images, and rank zero measures them. The random state does not change,
    and the time does not count as training.
    """

    def __init__(
        self,
        session: Session,
        state: TrainingState,
        stopwatch: Stopwatch,
        on_scores: Sequence[Callable[[Mapping[str, Any]], None]],
    ) -> None:
        self.session, self.state, self.stopwatch, self.on_scores = session, state, stopwatch, on_scores
        self.measured_at = -1  # images seen at the last measurement
        if not state.fabric.is_global_zero:
            return
        with stopwatch.paused(), aside(state.device):
            self.data = session.data.in_eight_bits  # as the images that it generates
            self.extractor: Extractor = find_extractor("classifier", self.data)
            if self.extractor.warning:
                _log.warning("note: %s", self.extractor.warning)
            self.real = self.extractor.vectors(subsample(self.data.images))  # [N, F]

    def on_tick(self, stats: TickStats) -> None:  # noqa: ARG002
        """Measure if it is due."""
        options = self.session.options
        seen, every = self.state.images_seen, options.metric_every
        if interval_ended(seen, options.batch, options.tick, every):
            with self.stopwatch.paused(), survives_full_disk():
                self.measure()
            self.measured_at = seen

    def on_end(self, stopped: bool) -> None:
        """Measure the final generator, unless the user interrupted the run and is waiting."""
        if not stopped and self.measured_at < self.state.images_seen:
            self.measure()

    def measure(self) -> None:
        """Measure, report, and write `best.safetensors` if the distance is the lowest so far."""
        started, state = time.monotonic(), self.state
        with aside(state.device):
            ema = recalibrate_batchnorm(state)
            with detect_lost_rank(state.fabric):
                images = self._images(ema)
            if not state.fabric.is_global_zero:
                return
            measured = measure(self.extractor, self.data, images, self.real)
        scores, kimg = measured.scores, state.images_seen / 1000
        value: dict[str, Any] = {
            "kimg": kimg,
            "seconds": round(state.seconds, 2),
            "features": self.extractor.name,
            **measured.to_json(),
        }
        append_metric(self.session.folder, self.extractor.name, value)
        best = scores.fd < state.best
        if best:
            save_generator(self.session.folder / BEST_NAME, ema, state.images_seen, self.session.data)
        state.best, state.measured = min(state.best, scores.fd), scores.fd
        took = time.monotonic() - started
        for each in self.on_scores:
            each({**value, "took": took})
        _log.info(
            "%s",
            f"kimg {kimg:<8.1f} Fréchet distance {scores.fd:.2f}{', the best so far' if best else ''}; "
            f"precision {scores.precision:.2f} recall {scores.recall:.2f} diversity {scores.diversity:.2f} "
            f"copies {scores.copies:.3f} (took {took:.1f} s)",
        )

    def _images(self, ema: Generator) -> Images:
        """Return the images of seeds 0 to SAMPLES - 1, uint8 [SAMPLES, H, W, C], of classes as in the data."""
        rank, count = self.state.fabric.global_rank, self.state.fabric.world_size
        share = -(-SAMPLES // count)  # images per process, rounded up
        seeds, known = range(rank, share * count, count), self.session.data.labels
        counts = known.counts if ema.config.classes and known else ()
        own = sample_images(ema, seeds, of_class=labels_of_data(seeds, counts))  # [share, H, W, C]
        parts = gather(self.state.fabric, torch.from_numpy(own))
        return torch.stack(parts, 1).flatten(0, 1)[:SAMPLES].numpy()


class Snapshot(Callback):
    """Saves a sheet of fakes, the checkpoint and the state: every few ticks, every few minutes, and at the end."""

    def __init__(self, session: Session, state: TrainingState, on_fakes: Callable[[Images], None]) -> None:
        self.session, self.state, self.on_fakes = session, state, on_fakes
        self.saved_at = state.seconds

    def on_start(self) -> None:
        """Save the images of the untrained generator."""
        if not self.state.images_seen and self.state.fabric.is_global_zero:
            with aside(self.state.device):
                self.save_fakes()

    def on_step(self) -> None:
        """Save if it is due."""
        options, seconds = self.session.options, self.state.seconds
        snap = options.tick * options.snap
        late = seconds - self.saved_at >= OFTEN or any(self.saved_at < early <= seconds for early in EARLY)
        if late or interval_ended(self.state.images_seen, options.batch, options.tick, snap):
            self.saved_at = seconds
            with survives_full_disk():
                self.save()

    def on_end(self, stopped: bool) -> None:  # noqa: ARG002
        """Save a last snapshot."""
        self.save()

    def save(self) -> None:
        """Write a sheet of fakes, the checkpoint, and the state for --resume."""
        state, started = self.state, time.monotonic()
        with detect_lost_rank(state.fabric):
            random = random_state(state)
        if not state.fabric.is_global_zero:
            return
        with aside(state.device):
            ema, fakes = self.save_fakes()
        save_generator(self.session.folder / CHECKPOINT_NAME, ema, state.images_seen, self.session.data)
        self.on_fakes(fakes)
        save_state(self.session.folder / STATE_NAME, state, random)
        _log.debug("saved kimg %.1f in %.2f s", state.images_seen / 1000, time.monotonic() - started)

    def save_fakes(self) -> tuple[Generator, Images]:
        """Write a sheet of the images of fixed seeds; return the EMA, which made them, and the images.

        Raises GantoolError if the images are not finite.
        """
        ema = recalibrate_batchnorm(self.state)
        inputs = config_inputs(ema.config, range(FAKES), self.state.device)
        fakes = float_images(ema, inputs)  # [64, C, H, W]
        if not np.isfinite(fakes).all():
            raise diverged(self.session, self.state)
        images = to_uint8(fakes)
        save_image(self.session.folder / fakes_name(self.state.images_seen), sheet(images, columns=8))
        return ema, images


@contextmanager
def survives_full_disk() -> Iterator[None]:
    """Log an OSError instead of raising it: a full disk may have room at the next try."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _log.warning(
            "note: cannot write%s: %s; training goes on, and tries again later",
            where,
            error.strerror or error,
        )

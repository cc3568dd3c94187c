"""The training loop. step.py computes a step; callbacks.py logs, measures and saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from shlex import quote

from gantool.models import CHECKPOINT_NAME
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.progress import task
from gantool.train.callbacks import Callback, CollapseAlarm, FrechetMetric, ProgressLine, Snapshot
from gantool.train.distributed import LostProcessError, all_reduce_stop, detect_lost_rank
from gantool.train.ema import recalibrate_batchnorm, update_ema
from gantool.train.prefetch import Prefetcher
from gantool.train.run_dir import STATE_NAME
from gantool.train.session import Pace, Session, Stopwatch, diverged
from gantool.train.state import TrainingState, compile_networks, save_generator
from gantool.train.step import step
from gantool.train.tensorboard import TensorBoard
from gantool.train.threads import AdaptiveThreads
from gantool.train.ticks import TickMeter, interval_ended


def fit(session: Session, state: TrainingState) -> bool:
    """Train until a limit in the options is reached. Return whether a signal interrupted the run.

    A signal to any of the processes ends the run after the current step, and saves it. Raises GantoolError if a
    loss is not finite; the last snapshot stays. If another process is lost, save the generator and raise
    LostProcessError.
    """
    options = session.options
    writes = options.tensorboard and state.fabric.is_global_zero
    with closing(TensorBoard(session.folder, state)) if writes else nullcontext() as board:
        stopwatch, boards = Stopwatch(), [board] if board else []
        measured: list[Callback] = []
        if options.metric_every:
            measured.append(FrechetMetric(session, state, stopwatch, [each.on_scores for each in boards]))
        with task("training", options.kimg, "kimg") as bar:
            alarm = CollapseAlarm(session, state)
            snapshot = Snapshot(session, state, alarm.on_fakes)
            callbacks = [ProgressLine(session, state, bar), *boards, alarm, *measured, snapshot]
            threads = AdaptiveThreads(options, session.rate)
            if options.compile:
                compile_networks(state)
            with _saved_if_lost(session, state):
                return _loop(session, state, callbacks, stopwatch, threads)


def _loop(
    session: Session,
    state: TrainingState,
    callbacks: Sequence[Callback],
    stopwatch: Stopwatch,
    threads: AdaptiveThreads,
) -> bool:
    """Run steps until a limit is reached or a signal comes; return whether one came."""
    options, fabric = session.options, state.fabric
    pace, meter, began, stopping = Pace(session, state), TickMeter(session, state), state.seconds, False
    with stop_signals() as signals, Prefetcher(session, state) as batches:
        for each in callbacks:
            each.on_start()
        while not stopping and not pace.finished(state):
            with detect_lost_rank(fabric):
                batch, used = batches.next(), threads.count
                with threads:
                    losses = step(options, state, *batch, rate=pace.decay(state))
                stopping, seconds = all_reduce_stop(fabric, bool(signals), stopwatch.seconds())
            state.images_seen += options.batch
            state.seconds = began + seconds
            update_ema(state, options)
            meter.add(losses, used)
            if interval_ended(state.images_seen, options.batch, options.tick, options.tick):
                stats = meter.end(batches.waited())
                for each in callbacks:
                    each.on_tick(stats)
            for each in callbacks:
                each.on_step()
        if meter.losses:
            stats = meter.end(batches.waited(), last=True)
            for each in callbacks:
                each.on_tick(stats)
        for each in callbacks:
            each.on_end(stopping)
        with detect_lost_rank(fabric):
            fabric.barrier()  # wait until all files are written: a launcher may kill processes when one ends
    return stopping


@contextmanager
def _saved_if_lost(session: Session, state: TrainingState) -> Iterator[None]:
    """If another process is lost, save the EMA of the last complete step. The other state may be half-updated."""
    try:
        yield
    except LostProcessError as error:
        if not state.fabric.is_global_zero:
            raise
        ema = recalibrate_batchnorm(state)
        if not all(weight.isfinite().all() for weight in ema.state_dict().values()):
            raise diverged(session, state) from error
        save_generator(session.folder / CHECKPOINT_NAME, ema, state.images_seen, session.data)
        resumable = (session.folder / STATE_NAME).exists()
        raise LostProcessError(
            f"{error}; the generator of kimg {state.images_seen / 1000:.1f} is in "
            f"{session.folder / CHECKPOINT_NAME}; "
            + (
                f"go on with gantool train --resume {quote(str(session.folder))}"
                if resumable
                else "start again"
            )
        ) from error

"""Start or resume a planned run: load the data, make the folder, autotune, train, and log the next commands."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from shlex import quote

import torch
from lightning_fabric import Fabric

from gantool.models import CHECKPOINT_NAME
from gantool.models.threads import limit_threads
from gantool.runtime.classes import safe_names
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.process.cpus import Others
from gantool.runtime.process.steady import steady_stderr
from gantool.runtime.runs import new_run
from gantool.train.autotune import Tuned, best_rate, fastest
from gantool.train.callbacks import FAKES, SAMPLES
from gantool.train.data.dataset import ImageData, load_images
from gantool.train.data.sources import Source
from gantool.train.distill.likeness import SHEET_NAME, compare
from gantool.train.distill.student import start_of
from gantool.train.distill.teacher import Teacher, check_data, check_student, load_teacher, sample
from gantool.train.distributed import (
    check_batch_divisible,
    detect_lost_rank,
    gather,
    rank_zero_errors,
    rank_zero_first,
    start_processes,
)
from gantool.train.malloc import keep_freed_memory
from gantool.train.notes import log_notes
from gantool.train.options import LaunchOptions, TrainingOptions
from gantool.train.preflight import Planned, Resumed
from gantool.train.preset_options import RECOGNIZABLE_KIMG
from gantool.train.presets import advice
from gantool.train.resume import check_state, drop_stats_after, further, labels_of, load_resumable
from gantool.train.run import Run
from gantool.train.run_dir import BEST_NAME, LOG_NAME, OPTIONS_NAME, STATS_NAME, fakes_name
from gantool.train.run_log import logged_to, silent
from gantool.train.session import Session
from gantool.train.state import TrainingState, new_state
from gantool.train.tensorboard import summary_writer
from gantool.train.trainer import fit

_log = logging.getLogger(__name__)


@steady_stderr()
def start(planned: Planned, launch: LaunchOptions) -> Run:
    """Train a new run."""
    if planned.options.tensorboard:
        summary_writer()
    others = Others()
    with _processes(planned.options, launch) as fabric:
        with rank_zero_first(fabric):
            _check_shares(planned.options, fabric)
            options, loaded, teacher = _with_data(planned, fabric)
        keep_freed_memory()  # after decoding the images, which frees memory that no step needs
        with rank_zero_errors(fabric):
            _warn_if_busy(others)
            options, tuned = _tuned(options, planned, launch, fabric)
            state = new_state(options, fabric)
            if teacher and (start := start_of(teacher, options)):
                for network in (state.generator, state.ema):
                    network.load_state_dict(start.state_dict())
            state.images_in_data = len(loaded.images)
            state.labels_in_data = labels_of(options, loaded)
            name = f"{loaded.name}-{options.preset or options.network.architecture}"
            if teacher:  # whose file may come from anyone
                name = f"{safe_names([loaded.name])[0]}-distilled"
            folder = new_run(launch.outdir, name) if fabric.is_global_zero else launch.outdir
            with detect_lost_rank(fabric):
                folder = fabric.broadcast(folder)
            if tuned is None:
                return _train(Session(options, loaded, folder, teacher=teacher), state)
            # the autotuner measures steps without the time of a teacher
            rate = None if teacher else tuned.rate * fabric.world_size or None
            session = Session(options, loaded, folder, rate, tuned.seconds, teacher)
            run = _train(session, state)
            if not teacher:
                tuned.check(best_rate(folder / STATS_NAME))
            return run


@contextmanager
def _processes(options: TrainingOptions, launch: LaunchOptions) -> Iterator[Fabric]:
    """Start the processes, or join them. All but rank zero log nothing from then on."""
    fabric = start_processes(options.device, launch.devices, launch.nodes, options.batch, options.accumulate)
    with nullcontext() if fabric.is_global_zero else silent():
        yield fabric


def _check_shares(options: TrainingOptions, fabric: Fabric) -> None:
    check_batch_divisible(fabric.world_size, options.batch, options.accumulate)


def _warn_if_busy(others: Others) -> None:
    if line := others.line():
        _log.warning("warning: %s", line)


def _tuned(
    options: TrainingOptions, planned: Planned, launch: LaunchOptions, fabric: Fabric
) -> tuple[TrainingOptions, Tuned | None]:
    """Return the options with the way to compute a step, and on rank zero the autotuner's result."""
    if not launch.autotune:
        return replace(options, threads=limit_threads() if fabric.device.type == "cpu" else None), None
    tuned = fastest(options, fabric, planned.precision) if fabric.is_global_zero else None
    with detect_lost_rank(fabric):
        options = fabric.broadcast(tuned.options if tuned else options)
    return options, tuned


def _with_data(planned: Planned, fabric: Fabric) -> tuple[TrainingOptions, ImageData, Teacher | None]:
    """Load the data; return the options with its channels and classes, the data, and the teacher of a student."""
    options, started = planned.options, time.monotonic()
    loaded, teacher = _load_all(planned.source, options, planned.channels, fabric)
    if teacher:
        return options, loaded, teacher
    assert isinstance(planned.source, Source)
    if planned.conditional and not loaded.labels:
        raise UsageError(f"`conditional`: {planned.source.given} has no labels that can be read: see above")
    labels = loaded.labels if planned.conditional else None
    log_notes(_log, labels.lines() if labels else ())
    for line in advice(options.preset, options, loaded.facts) if loaded.facts else ():
        _log.warning("%s", line)
    _log.debug("images in %.2f s", time.monotonic() - started)
    network = replace(
        options.network, channels=loaded.images.shape[3], classes=len(labels.classes) if labels else 0
    )
    return replace(options, network=network), loaded, None


def _load_all(
    source: str | Source, options: TrainingOptions, channels: int | None, fabric: Fabric
) -> tuple[ImageData, Teacher | None]:
    """Load the images of a run; of a student also its teacher, of whose images it gets a sample, or real ones."""
    if not options.teacher:
        return _load(source, options, channels), None
    teacher = load_teacher(Path(options.teacher), fabric.device)
    check_student(teacher, options.network)
    if not options.real_data:
        return sample(teacher, SAMPLES if options.metric_every else FAKES), teacher
    loaded = _load(source, options, options.network.channels)
    check_data(teacher, options.data, loaded.labels)
    return loaded, teacher


def _load(source: str | Source, options: TrainingOptions, channels: int | None) -> ImageData:
    """Load images as the options of a run say; None for the channels: those of the images."""
    network = options.network
    return load_images(
        source,
        network.size,
        channels,
        options.background,
        options.fit,
        options.levels,
        network.bits,
    )


@steady_stderr()
def resume(resumed: Resumed, launch: LaunchOptions) -> Run:
    """Resume a run."""
    folder, options, others = resumed.folder, resumed.options, Others()
    with _processes(options, launch) as fabric:
        with rank_zero_first(fabric):
            _check_shares(options, fabric)
            loaded, teacher = _load_all(options.data, options, options.network.channels, fabric)
            state = load_resumable(folder, options, fabric)
        keep_freed_memory()  # after decoding the images, which frees memory that no step needs
        with rank_zero_errors(fabric):
            with detect_lost_rank(fabric):
                seen = {int(each) for each in gather(fabric, torch.tensor(state.images_seen))}
            if len(seen) > 1:
                raise GantoolError(
                    f"the processes found different states in {folder}: give all of them the same folder"
                )
            check_state(state, folder, options, loaded)
            limit_threads()
            if fabric.is_global_zero:
                for path in (folder / STATS_NAME, *folder.glob("metric-*.jsonl")):
                    drop_stats_after(path, state.images_seen)
            _warn_if_busy(others)
            rate = best_rate(folder / STATS_NAME)
            return _train(Session(options, loaded, folder, rate, teacher=teacher), state)


def _write_options(folder: Path, options: TrainingOptions) -> None:
    with atomic(folder / OPTIONS_NAME) as part:
        part.write_text(json.dumps(options.to_json(), indent=2) + "\n", encoding="utf-8")


def _train(session: Session, state: TrainingState) -> Run:
    options, network, folder = session.options, session.options.network, session.folder
    rank_zero = state.fabric.is_global_zero
    if rank_zero:
        _write_options(folder, options)
    processes = f" and {state.fabric.world_size} processes" if state.fabric.world_size > 1 else ""
    with logged_to(folder / LOG_NAME) if rank_zero else nullcontext():
        _log.info(
            "%s",
            f"{folder}: {len(session.data.images):,} images of {session.data.name} at "
            f"{network.size.by}×{network.channels}, {network.architecture} of width {network.width}, "
            f"on {state.device}{processes}, "
            f"from {state.images_seen / 1000:.1f} to {options.kimg:g} kimg"
            + (f" or {options.minutes:g} minutes" if options.minutes else ""),
        )
        _log.info(
            "%s",
            f"1 kimg is 1,000 training images; one line every {options.tick:g} kimg; data is the share of time "
            f"spent waiting for images; samples are in {folder}/fakes*.png, the first after 15 s",
        )
        _log.debug(
            "%s, precision %s, %s parameters in the generator, %s in the discriminator",
            "channels last" if options.channels_last else "contiguous",
            options.precision,
            *(
                f"{sum(map(torch.numel, each.parameters())):,}"
                for each in (state.generator, state.discriminator)
            ),
        )
        interrupted = fit(session, state)
        better = state.best < state.measured and (folder / BEST_NAME).is_file()
        run = Run(
            folder,
            folder / CHECKPOINT_NAME,
            folder / (BEST_NAME if better else CHECKPOINT_NAME),
            state.images_seen / 1000,
            state.measured if math.isfinite(state.measured) else None,
            interrupted,
        )
        _log.info("%s", _ending(run, options, state))
        if rank_zero and session.teacher:
            for likeness in compare(session.teacher, run.best):
                _log.info("  width %-5d %s", likeness.width, likeness)
            _log.info("  likeness    %s, pairs of images of teacher and student", folder / SHEET_NAME)
    return run


def _ending(run: Run, options: TrainingOptions, state: TrainingState) -> str:
    """Return the last lines of a run: its progress, its files, and the next commands."""
    wanted = RECOGNIZABLE_KIMG.get(options.preset, 0)
    reached, which = f"{run.kimg:.1f}", ""
    if run.kimg < wanted:
        reached += f" of about {wanted} kimg that preset {options.preset} needs for recognizable images"
    else:
        reached += " kimg"
    more = f" --kimg {further(state, wanted)}" if state.images_seen >= options.kimg * 1000 else ""
    if run.best != run.checkpoint:
        which = (
            f"\n              (distance {state.best:.2f}; the last that was measured has {run.distance:.2f})"
        )
    return (
        f"{'interrupted' if run.interrupted else 'done'} at {reached}\n"
        f"  images      {run.folder / fakes_name(state.images_seen)}\n"
        f"  checkpoint  {run.checkpoint}\n"
        f"  go on       gantool train --resume {quote(str(run.folder))}{more}\n"
        f"  export      gantool export {quote(str(run.best))} --{options.quantize or 'fp16'}{which}"
    )

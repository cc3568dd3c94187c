"""Start or resume a run: load the data, make the folder, tune, train, and print what to type next."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any
from zlib import crc32

import torch
from lightning_fabric import Fabric

from gantool.models import CHECKPOINT_NAME
from gantool.models.threads import limit_threads
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.process.cpus import Others
from gantool.runtime.process.steady import steady_stderr
from gantool.runtime.runs import new_run
from gantool.train.autotune import Tuned, best_rate, fastest
from gantool.train.data.dataset import ImageData, load_images
from gantool.train.distributed import (
    check_batch_divisible,
    detect_lost_rank,
    gather,
    rank_zero_errors,
    rank_zero_first,
    start_processes,
)
from gantool.train.malloc import keep_freed_memory
from gantool.train.options import RECOGNIZABLE_KIMG, TrainingOptions
from gantool.train.preflight import Planned
from gantool.train.presets import advice
from gantool.train.progress import reporting, silence, summary_writer
from gantool.train.run_dir import BEST_NAME, OPTIONS_NAME, STATE_NAME, STATS_NAME, fakes_name, number, records
from gantool.train.session import Session
from gantool.train.state import PREVIOUS_NAME, TrainingState, load_state, new_state
from gantool.train.trainer import train


@steady_stderr()
def start(
    planned: Planned,
    outdir: Path,
    *,
    devices: int | None,
    nodes: int | None,
    autotune: bool,
) -> bool:
    """Train a new run as planned; return whether it was interrupted.

    devices, nodes: processes on each machine, and machines; None is as many as were started
    autotune:       measure first which way of computing a step is fastest
    """
    options = planned.options
    if options.tensorboard:
        summary_writer()
    others = Others()
    fabric = start_processes(options.device, devices, nodes, options.batch, options.accumulate)
    with rank_zero_first(fabric):
        check_batch_divisible(fabric.world_size, options.batch, options.accumulate)
        options, loaded = _with_data(planned, _notes(fabric))
    keep_freed_memory()  # only now: decoding images frees memory that no step needs
    with rank_zero_errors(fabric):
        if line := others.line():
            _notes(fabric)(f"warning: {line}")
        tuned: Tuned | None = None
        if not autotune:
            options = replace(options, threads=limit_threads() if fabric.device.type == "cpu" else None)
        else:
            if fabric.is_global_zero:
                tuned = fastest(options, fabric, planned.given.get("precision"), _note)
                options = tuned.options
            with detect_lost_rank(fabric):
                options = fabric.broadcast(options)
        state = new_state(options, fabric)
        state.images_in_data = len(loaded.images)
        state.labels_in_data = _labels(options, loaded)
        folder = new_run(outdir, f"{loaded.name}-{planned.preset}") if fabric.is_global_zero else outdir
        with detect_lost_rank(fabric):
            folder = fabric.broadcast(folder)
        if tuned is None:
            return _train(Session(options, loaded, folder), state)
        session = Session(options, loaded, folder, tuned.rate * fabric.world_size or None, tuned.seconds)
        interrupted = _train(session, state)
        tuned.check(best_rate(folder / STATS_NAME))
        return interrupted


def _with_data(planned: Planned, note: Callable[[str], None]) -> tuple[TrainingOptions, ImageData]:
    """Return the options with the channels and classes of the data, and the data."""
    options = planned.options
    loaded = load_images(planned.source, options.network.size, planned.channels, options.background, log=note)
    if planned.conditional and not loaded.labels:
        raise UsageError(f"`conditional`: {planned.source.given} has no labels that can be read: see above")
    labels = loaded.labels if planned.conditional else None
    for line in labels.lines() if labels else ():
        note(line)
    for line in advice(planned.preset, options, loaded.facts) if loaded.facts else ():
        note(line)
    network = replace(
        options.network, channels=loaded.images.shape[3], classes=len(labels.classes) if labels else 0
    )
    return replace(options, network=network), loaded


@steady_stderr()
def resume(
    folder: Path,
    options: TrainingOptions,
    *,
    devices: int | None,
    nodes: int | None,
) -> bool:
    """Resume the run in `folder`, as `plan_resume` returned it; return whether it was interrupted."""
    others = Others()
    fabric = start_processes(options.device, devices, nodes, options.batch, options.accumulate)
    with rank_zero_first(fabric):
        check_batch_divisible(fabric.world_size, options.batch, options.accumulate)
        network = options.network
        loaded = load_images(
            options.data, network.size, network.channels, options.background, log=_notes(fabric)
        )
        state = _load_state(folder, options, fabric)
    keep_freed_memory()  # only now: decoding images frees memory that no step needs
    with rank_zero_errors(fabric):
        with detect_lost_rank(fabric):
            seen = {int(each) for each in gather(fabric, torch.tensor(state.images_seen))}
        if len(seen) > 1:
            raise GantoolError(
                f"the processes found different states in {folder}: give all of them the same folder"
            )
        _check_state(state, folder, options, loaded)
        limit_threads()
        if fabric.is_global_zero:
            for path in (folder / STATS_NAME, *folder.glob("metric-*.jsonl")):
                _drop_stats_after(path, state.images_seen)
            if line := others.line():
                _note(f"warning: {line}")
        return _train(Session(options, loaded, folder, best_rate(folder / STATS_NAME)), state)


def _check_state(state: TrainingState, folder: Path, options: TrainingOptions, loaded: ImageData) -> None:
    """Raise an error for a run that has reached its end, or whose data changed; keep the labels in the state."""
    network = options.network
    if state.images_seen >= options.kimg * 1000:
        raise UsageError(
            f"{folder} already has {state.images_seen / 1000:.1f} of {options.kimg:g} kimg: "
            f"give --kimg {_further(state)} to go on"
        )
    if state.images_in_data != len(loaded.images):
        raise GantoolError(
            f"{options.data} now gives {len(loaded.images):,} images, {folder} was trained on "
            f"{state.images_in_data:,}: restore them, or start a new run"
        )
    classes = len(loaded.labels.classes) if loaded.labels else 0
    if network.classes not in (0, classes):
        raise GantoolError(
            f"{options.data} now has {classes} classes, {folder} was trained on {network.classes}: restore "
            "them, or start a new run"
        )
    labels = _labels(options, loaded)
    if state.labels_in_data not in ("", labels):
        raise GantoolError(
            f"{options.data} now has other labels than {folder} was trained on (names of the classes and "
            f"checksum: {labels}; then {state.labels_in_data}): restore them, or start a new run"
        )
    state.labels_in_data = labels


def _labels(options: TrainingOptions, loaded: ImageData) -> str:
    """Return what a resumed run compares of its labels; "" for a run without labels."""
    if not options.network.classes or loaded.labels is None:
        return ""
    return f"{', '.join(map(str, loaded.labels.classes))[:200]} {crc32(loaded.labels.values.tobytes()):08x}"


def _load_state(folder: Path, options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Load the state of a run, or the previous one if it cannot be loaded."""
    try:
        return load_state(folder / STATE_NAME, options, fabric)
    except GantoolError as error:
        try:
            state = load_state(folder / PREVIOUS_NAME, options, fabric)
        except GantoolError:
            checkpoint = folder / CHECKPOINT_NAME
            whole = (
                f"its generator is there, gantool export {quote(str(checkpoint))}; "
                if checkpoint.is_file()
                else ""
            )
            raise GantoolError(
                f"{error}; {whole}to train on, start a new run: gantool train --data {quote(options.data)}"
                + (f" --preset {options.preset}" if options.preset else "")
            ) from error
        _notes(fabric)(
            f"{error}\ngoing on from {folder / PREVIOUS_NAME}, at {state.images_seen / 1000:.1f} kimg"
        )
        return state


def _write_options(folder: Path, options: TrainingOptions) -> None:
    with atomic(folder / OPTIONS_NAME) as part:
        part.write_text(json.dumps(options.to_json(), indent=2) + "\n", encoding="utf-8")


def _drop_stats_after(path: Path, images_seen: int) -> None:
    """Drop the ticks after the state: a killed run wrote them, and the resumed one will write them again.

    A log that cannot be read or written does not stop the run.
    """
    with suppress(OSError):
        kept = [line for line in records(path) if "source" in line or _at(line) <= images_seen / 1000]
        with atomic(path) as part:  # lines with "source", of gantool evaluate, stay
            part.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")


def _at(line: dict[str, Any]) -> float:
    kimg = number(line.get("kimg"))
    return math.inf if kimg is None else kimg


def _further(state: TrainingState, least: float = 0.0) -> str:
    return (
        f"{max(math.ceil(state.images_seen / 500), least):g}"  # twice as far, or as far as the preset needs
    )


def _train(session: Session, state: TrainingState) -> bool:
    options, network, folder = session.options, session.options.network, session.folder
    main = state.fabric.is_global_zero
    if main:
        _write_options(folder, options)
    processes = f" and {state.fabric.world_size} processes" if state.fabric.world_size > 1 else ""
    with reporting(folder / "log.txt", options.tensorboard) if main else silence() as report:
        report.line(
            f"{folder}: {len(session.data.images):,} images of {session.data.name} at "
            f"{network.size}×{network.size}×{network.channels}, {network.architecture} of width {network.width}, "
            f"on {state.device}{processes}, "
            f"from {state.images_seen / 1000:.1f} to {options.kimg:g} kimg"
            + (f" or {options.minutes:g} minutes" if options.minutes else "")
        )
        report.line(
            f"1 kimg is 1,000 training images; one line every {options.tick:g} kimg; data is the share of time "
            f"spent waiting for images; samples are in {folder}/fakes*.png, the first after 15 s"
        )
        interrupted = train(session, state, report)
        report.line(_ending(session, state, interrupted))
    return interrupted


def _ending(session: Session, state: TrainingState, interrupted: bool) -> str:
    """Return what was reached, and what to type next."""
    options, folder, kimg = session.options, session.folder, state.images_seen / 1000
    wanted = RECOGNIZABLE_KIMG.get(options.preset, 0)
    reached = f"{kimg:.1f} kimg"
    if kimg < wanted:
        reached = (
            f"{kimg:.1f} of about {wanted} kimg that preset {options.preset} needs for recognizable images"
        )
    further = f" --kimg {_further(state, wanted)}" if state.images_seen >= options.kimg * 1000 else ""
    checkpoint, which = folder / CHECKPOINT_NAME, ""
    if state.best < state.measured and (folder / BEST_NAME).is_file():
        checkpoint = folder / BEST_NAME
        which = f"\n              (distance {state.best:.2f}; the last that was measured has {state.measured:.2f})"
    return (
        f"{'interrupted' if interrupted else 'done'} at {reached}\n"
        f"  images      {folder / fakes_name(state.images_seen)}\n"
        f"  checkpoint  {folder / CHECKPOINT_NAME}\n"
        f"  go on       gantool train --resume {quote(str(folder))}{further}\n"
        f"  export      gantool export {quote(str(checkpoint))} --fp16{which}"
    )


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _notes(fabric: Fabric) -> Callable[[str], None]:
    """Return a printer of lines that rank zero alone should print."""
    return _note if fabric.is_global_zero else lambda _: None

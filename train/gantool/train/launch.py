"""From flags to a finished run: resolve the options, load the data, make the folder, train, say what is next."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from lightning_fabric import Fabric

from gantool.models import CHECKPOINT_NAME
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.train.data import ImageData, load_images
from gantool.train.loop import Run, train
from gantool.train.memory import keep_freed_memory
from gantool.train.options import TrainingOptions
from gantool.train.preflight import Planned, plan_resume
from gantool.train.presets import advice
from gantool.train.processes import check_share, gather, one_by_one, one_voice, start_processes, watched
from gantool.train.progress import reporting, silence, summary_writer
from gantool.train.run import OPTIONS_NAME, STATE_NAME, STATS_NAME, new_run
from gantool.train.speed import fastest
from gantool.train.state import PREVIOUS_NAME, TrainingState, load_state, new_state


def start(
    planned: Planned,
    outdir: Path,
    *,
    devices: int | None,
    nodes: int | None,
    autotune: bool,
) -> bool:
    """Train a new run, as it was planned.

    `devices`, `nodes`: how many take part. `autotune`: measure how a step is computed fastest.

    Returns whether it was interrupted.
    """
    options = planned.options
    if options.tensorboard:
        summary_writer()
    fabric = start_processes(options.device, devices, nodes, options.batch, options.accumulate)
    with one_by_one(fabric):
        check_share(fabric.world_size, options.batch, options.accumulate)
        options, loaded = _with_data(planned, _notes(fabric))
    keep_freed_memory()  # not before: decoding images frees much that no step needs
    with one_voice(fabric):
        if autotune:
            if fabric.is_global_zero:
                options = fastest(options, fabric, planned.flags.get("precision"), _note)
            with watched(fabric):
                options = fabric.broadcast(options)
        state = new_state(options, fabric)
        state.images_in_data = len(loaded.images)
        folder = new_run(outdir, f"{loaded.name}-{planned.preset}") if fabric.is_global_zero else outdir
        with watched(fabric):
            folder = fabric.broadcast(folder)
        return _train(Run(options, loaded, folder), state)


def _with_data(planned: Planned, note: Callable[[str], None]) -> tuple[TrainingOptions, ImageData]:
    """Return the options with the channels and classes of the data, and the data."""
    options = planned.options
    loaded = load_images(planned.source, options.network.size, planned.channels, options.background, log=note)
    if planned.conditional and not loaded.labels:
        raise UsageError(f"--conditional: {planned.source.given} has no labels that can be read: see above")
    labels = loaded.labels if planned.conditional else None
    for line in labels.lines() if labels else ():
        note(line)
    for line in advice(planned.preset, options, loaded.facts) if loaded.facts else ():
        note(line)
    network = replace(
        options.network, channels=loaded.images.shape[3], classes=len(labels.classes) if labels else 0
    )
    return replace(options, network=network), loaded


def resume(
    name: str,
    outdir: Path,
    flags: dict[str, Any],
    *,
    devices: int | None,
    nodes: int | None,
) -> bool:
    """Go on with a run. `flags` may change what it stops at, its device and its progress, nothing else.

    Returns whether it was interrupted.
    """
    folder, options = plan_resume(name, outdir, flags)
    fabric = start_processes(options.device, devices, nodes, options.batch, options.accumulate)
    with one_by_one(fabric):
        check_share(fabric.world_size, options.batch, options.accumulate)
        network = options.network
        loaded = load_images(
            options.data, network.size, network.channels, options.background, log=_notes(fabric)
        )
        state = _load_state(folder, options, fabric)
    keep_freed_memory()  # not before: decoding images frees much that no step needs
    with one_voice(fabric):
        with watched(fabric):
            seen = {int(each) for each in gather(fabric, torch.tensor(state.images_seen))}
        if len(seen) > 1:
            raise GantoolError(
                f"the processes found different states in {folder}: let all see the same folder"
            )
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
        if fabric.is_global_zero:
            for path in (folder / STATS_NAME, *folder.glob("metric-*.jsonl")):
                _drop_stats_after(path, state.images_seen)
        return _train(Run(options, loaded, folder), state)


def _load_state(folder: Path, options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Load the state of a run; where it is damaged, the one before."""
    try:
        return load_state(folder / STATE_NAME, options, fabric)
    except GantoolError as error:
        previous = folder / PREVIOUS_NAME
        if not previous.exists():
            raise
        state = load_state(previous, options, fabric)
        _notes(fabric)(f"{error}\ngoing on from {previous}, at {state.images_seen / 1000:.1f} kimg")
        return state


def _write_options(folder: Path, options: TrainingOptions) -> None:
    with atomic(folder / OPTIONS_NAME) as part:
        part.write_text(json.dumps(options.to_json(), indent=2) + "\n", encoding="utf-8")


def _drop_stats_after(path: Path, images_seen: int) -> None:
    """Drop the ticks after the state that is resumed from: a killed run wrote them, and this one will again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if _kimg(line) * 1000 <= images_seen]
    with atomic(path) as part:
        part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _kimg(line: str) -> float:
    try:
        value = json.loads(line)
        return 0.0 if "source" in value else float(value["kimg"])  # those of gantool evaluate stay
    except (ValueError, KeyError, TypeError):
        return math.inf  # half a line, of a run that was killed


def _further(state: TrainingState) -> str:
    return f"{math.ceil(state.images_seen / 500):g}"  # twice as far


def _train(run: Run, state: TrainingState) -> bool:
    options, network, main = run.options, run.options.network, state.fabric.is_global_zero
    if main:
        _write_options(run.folder, options)
    processes = f" and {state.fabric.world_size} processes" if state.fabric.world_size > 1 else ""
    with reporting(run.folder / "log.txt", options.tensorboard) if main else silence() as report:
        report.line(
            f"{run.folder}: {len(run.data.images):,} images of {run.data.name} at {network.size}×{network.size}×"
            f"{network.channels}, {network.architecture} of width {network.width}, on {state.device}{processes}, "
            f"from {state.images_seen / 1000:.1f} to {options.kimg:g} kimg"
            + (f" or {options.minutes:g} minutes" if options.minutes else "")
        )
        interrupted = train(run, state, report)
        further = f" --kimg {_further(state)}" if state.images_seen >= options.kimg * 1000 else ""
        report.line(
            f"{'interrupted' if interrupted else 'done'} at {state.images_seen / 1000:.1f} kimg\n"
            f"  images      {run.folder / f'fakes{state.images_seen // 1000:06d}.png'}\n"
            f"  checkpoint  {run.folder / CHECKPOINT_NAME}\n"
            f"  go on       gantool train --resume {quote(str(run.folder))}{further}\n"
            f"  export      gantool export {quote(str(run.folder / CHECKPOINT_NAME))} --fp16"
        )
    return interrupted


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _notes(fabric: Fabric) -> Callable[[str], None]:
    """Return where lines go that all processes would write."""
    return _note if fabric.is_global_zero else lambda _: None

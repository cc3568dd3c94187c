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

from gantool.models import CHECKPOINT_NAME, PRESETS
from gantool.models.threads import limit_threads
from gantool.runtime.cpus import Others
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.train.data import ImageData, load_images
from gantool.train.fashion import NAME as FASHION_MNIST
from gantool.train.loop import Run, train
from gantool.train.memory import keep_freed_memory
from gantool.train.options import TRAINING, TrainingOptions, read_options
from gantool.train.processes import check_share, gather, one_by_one, one_voice, start_processes, watched
from gantool.train.progress import reporting, silence, summary_writer
from gantool.train.run import OPTIONS_NAME, STATE_NAME, STATS_NAME, find_run, new_run
from gantool.train.speed import Tuned, best_rate, fastest
from gantool.train.state import PREVIOUS_NAME, TrainingState, load_state, new_state


def start(
    data: str,
    preset: str,
    outdir: Path,
    network: dict[str, Any],
    flags: dict[str, Any],
    *,
    devices: int | None,
    nodes: int | None,
    conditional: bool,
    autotune: bool,
    dry_run: bool,
) -> bool:
    """Train a new run. `network` and `flags` hold what was given of NetworkConfig and TrainingOptions.

    `devices`, `nodes`: how many take part. `conditional`: tell the classes of the data apart. `autotune`: measure
    how a step is computed fastest.

    Returns whether it was interrupted.
    """
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset} is unknown: choose {', '.join(PRESETS)}")
    if data != FASHION_MNIST and Path(data).exists():
        data = str(Path(data).absolute())  # so that the run can be resumed from another folder
    try:
        config = replace(PRESETS[preset], **network)
    except ValueError as error:
        raise UsageError(str(error)) from error
    options = TrainingOptions(config, data, **{**TRAINING.get(preset, {}), **flags})
    if dry_run:
        options, _ = _with_data(options, network.get("channels"), conditional, _note)
        print(json.dumps(options.to_json(), indent=2))
        return False
    if options.tensorboard:
        summary_writer()
    others = Others()
    fabric = start_processes(options.device, devices, nodes, options.batch, options.accumulate)
    with one_by_one(fabric):
        check_share(fabric.world_size, options.batch, options.accumulate)
        options, loaded = _with_data(options, network.get("channels"), conditional, _notes(fabric))
    keep_freed_memory()  # not before: decoding images frees much that no step needs
    with one_voice(fabric):
        if line := others.line():
            _notes(fabric)(f"warning: {line}")
        tuned: Tuned | None = None
        if not autotune:
            options = replace(options, threads=limit_threads() if fabric.device.type == "cpu" else None)
        else:
            if fabric.is_global_zero:
                tuned = fastest(options, fabric, flags.get("precision"), _note)
                options = tuned.options
            with watched(fabric):
                options = fabric.broadcast(options)
        state = new_state(options, fabric)
        state.images_in_data = len(loaded.images)
        folder = new_run(outdir, f"{loaded.name}-{preset}") if fabric.is_global_zero else outdir
        with watched(fabric):
            folder = fabric.broadcast(folder)
        if tuned is None:
            return _train(Run(options, loaded, folder), state)
        run = Run(options, loaded, folder, tuned.rate * fabric.world_size or None, tuned.seconds)
        interrupted = _train(run, state)
        tuned.check(best_rate(folder / STATS_NAME))
        return interrupted


def _with_data(
    options: TrainingOptions, channels: int | None, conditional: bool, note: Callable[[str], None]
) -> tuple[TrainingOptions, ImageData]:
    """Return the options with the channels and classes of the data, and the data."""
    loaded = load_images(options.data, options.network.size, channels, log=note)
    if conditional and not loaded.labels:
        raise UsageError(
            f"--conditional: {options.data} has no labels; put its images into a folder for each class, or give "
            "them in dataset.json"
        )
    classes = len(loaded.labels.classes) if conditional and loaded.labels else 0
    network = replace(options.network, channels=loaded.images.shape[3], classes=classes)
    return replace(options, network=network), loaded


def resume(
    name: str,
    outdir: Path,
    flags: dict[str, Any],
    *,
    devices: int | None,
    nodes: int | None,
    dry_run: bool,
) -> bool:
    """Go on with a run. `flags` may change what it stops at, its device and its progress, nothing else.

    Returns whether it was interrupted.
    """
    folder = find_run(name, outdir)
    changeable = {"kimg", "minutes", "device", "tick", "snap", "metric_every", "tensorboard"}
    if fixed := sorted(flags.keys() - changeable):
        raise UsageError(
            f"--resume goes on with the settings of {folder}: leave out --{', --'.join(fixed).replace('_', '-')}"
        )
    # a limit of minutes is one of the session, not of the run
    options = replace(read_options(folder / OPTIONS_NAME), **{"minutes": None, **flags})
    if dry_run:
        print(json.dumps(options.to_json(), indent=2))
        return False
    others = Others()
    fabric = start_processes(options.device, devices, nodes, options.batch, options.accumulate)
    with one_by_one(fabric):
        check_share(fabric.world_size, options.batch, options.accumulate)
        network = options.network
        loaded = load_images(options.data, network.size, network.channels, log=_notes(fabric))
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
        limit_threads()
        if fabric.is_global_zero:
            for path in (folder / STATS_NAME, *folder.glob("metric-*.jsonl")):
                _drop_stats_after(path, state.images_seen)
            if line := others.line():
                _note(f"warning: {line}")
        return _train(Run(options, loaded, folder, best_rate(folder / STATS_NAME)), state)


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

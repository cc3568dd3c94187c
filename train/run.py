"""`train`, the function behind `gantool train`. PyTorch is loaded once a run is planned."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from gantool.runtime.errors import MissingDependencyError
from gantool.train import preflight
from gantool.train.options import MEASURED, LaunchOptions, TrainingOptions
from gantool.train.run_log import silent

_log = logging.getLogger(__name__)
_ALONE = LaunchOptions()  # a new run of one process


@dataclass(frozen=True)
class Run:
    """What a session of a run came to."""

    folder: Path
    checkpoint: Path  # generator.safetensors, of the end
    best: Path  # the checkpoint to export: best.safetensors where it was measured to be better, else the same
    kimg: float  # trained so far, over all sessions
    distance: float | None  # the last Fréchet distance that was measured
    interrupted: bool


def train(options: TrainingOptions, launch: LaunchOptions = _ALONE, given: Collection[str] = ()) -> Run:
    """Train a new run, or go on with the one that `launch.resume` names; return what it came to.

    options: what is trained, as `from_preset` makes it
    launch:  how it is started; its `config` and `dry_run` are for the command line
    given:   the names of those options that were asked for. `channels` and `precision` are chosen by the data and
             by the autotuner where they are not among them. A resumed run has its own options, and takes these
             alone: UsageError for one that it cannot change

    A signal ends a run early, with all that it has saved; `interrupted` says so. With `launch.devices` over 1, the
    program that calls is started again for each process; the first one alone logs.

    Raises UsageError for options that cannot be trained with; GantoolError for a source, a run or a device that
    cannot be used, and where training diverges; MissingDependencyError without PyTorch; MemoryError.
    """
    # processes that were started beside the first one plan as it does
    with silent() if os.environ.get("LOCAL_RANK", "0") != "0" else nullcontext():
        planned: preflight.Planned | preflight.Resumed
        if launch.resume is None:
            planned = preflight.plan(options, launch, given)
            if launch.autotune and (again := sorted(MEASURED & set(given))):
                _log.info("note: %s are measured again; `autotune=False` keeps them", ", ".join(again))
        else:
            planned = preflight.plan_resume(options, launch, given)
    try:
        from gantool.train import launch as session
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool train") from error
    try:
        if isinstance(planned, preflight.Resumed):
            return session.resume(planned, launch)
        return session.start(planned, launch)
    except RuntimeError as error:  # torch's way to say that memory is short, of a CPU or a GPU
        if "memory" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error

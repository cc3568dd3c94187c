"""`train`, the function behind `gantool train`. It checks the run before it imports PyTorch."""

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
    """The result of `train`."""

    folder: Path
    checkpoint: Path  # generator.safetensors, the last generator
    best: Path  # the checkpoint to export: best.safetensors if its measured distance is lower, else `checkpoint`
    kimg: float  # trained so far, over all sessions
    distance: float | None  # the last measured Fréchet distance
    interrupted: bool


def train(options: TrainingOptions, launch: LaunchOptions = _ALONE, given: Collection[str] = ()) -> Run:
    """Train a new run, or resume the run that `launch.resume` names.

    options: of the run, as `from_preset` returns them
    launch:  how to start the run; `config` and `dry_run` are only for the command line
    given:   the names of the options that the user set. Unless given, a new run takes `channels` from the data and
             `precision` from the autotuner. A resumed run changes only the given options, and raises UsageError
             for one that cannot change

    A signal saves the run and ends it early, with `interrupted` set. With `launch.devices` over 1, Lightning starts
    the calling program again for each further process; only the first process logs.

    Raises UsageError for invalid options; GantoolError for a source, a run or a device that cannot be used, and if
    training diverges; MissingDependencyError without PyTorch; MemoryError.
    """
    # all processes do the same checks; only the first one logs
    with silent() if os.environ.get("LOCAL_RANK", "0") != "0" else nullcontext():
        planned: preflight.Planned | preflight.Resumed
        if launch.resume is None:
            planned = preflight.plan(options, launch, given)
            if launch.autotune and (again := sorted(MEASURED & set(given))):
                _log.info("note: the autotuner sets %s again; `autotune=False` keeps them", ", ".join(again))
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
    except RuntimeError as error:  # torch raises it when a CPU or a GPU runs out of memory
        if "memory" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error

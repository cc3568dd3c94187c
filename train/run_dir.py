"""The run folder, `runs/00000-<data>-<preset>/`, and its files.

training_options.json   the options of the run
stats.jsonl             one JSON object per tick
log.txt                 the log
fakes000123.png         images of fixed seeds after 123 kimg; fakes000123_456.png after 123.456
generator.safetensors   the EMA of the generator, the checkpoint for `gantool export`
best.safetensors        the checkpoint with the lowest Fréchet distance, with --metric-every
training_state.pt       the state for --resume
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.foreign import parse_json
from gantool.runtime.runs import LATEST, RUNS, newest_run
from gantool.train.data.fitting import Fit
from gantool.train.options import TrainingOptions, read_options

_log = logging.getLogger(__name__)

OPTIONS_NAME = "training_options.json"
STATE_NAME = "training_state.pt"
STATS_NAME = "stats.jsonl"
BEST_NAME = "best.safetensors"
LOG_NAME = "log.txt"


def fakes_name(images_seen: int) -> str:
    """Return the name of the sheet of samples after `images_seen` images; names sort like their numbers."""
    kimg, rest = divmod(images_seen, 1000)
    return f"fakes{kimg:06d}_{rest:03d}.png" if rest else f"fakes{kimg:06d}.png"


def fakes_kimg(path: Path) -> float | None:
    """Return the kimg in the name of a sheet of samples; None for another file."""
    found = re.fullmatch(r"fakes(\d{6,9})(?:_(\d{3}))?\.png", path.name, re.ASCII)
    return int(found[1]) + int(found[2] or 0) / 1000 if found else None


def find_run(resume: str, outdir: Path) -> Path:
    """Return the run folder that --resume names: `latest` in `outdir`, or a path. Raises GantoolError."""
    if resume != LATEST:
        named = Path(resume)
        folder = named.parent if named.is_file() else named  # the path of its state or checkpoint works too
        if not (folder / STATE_NAME).is_file():
            if (folder / OPTIONS_NAME).is_file():
                raise GantoolError(f"{_unsaved(folder)}: begin it again")
            found = f"holds no {STATE_NAME}" if folder.is_dir() else "does not exist"
            raise GantoolError(f"{folder} {found}: give `resume` latest, or the folder of a run")
        return folder
    run = newest_run(outdir, STATE_NAME)
    if run is None:
        raise GantoolError(f"no run in {outdir}/ can be resumed: start one with `gantool train`")
    newest = newest_run(outdir, OPTIONS_NAME)
    if newest is not None and newest != run:
        _log.warning(f"{_unsaved(newest)}: {run} goes on instead")
    return run


def _unsaved(run: Path) -> str:
    return f"{run} ended before it saved its state"


def named_or_newest(source: Path | None, holding: str) -> Path:
    """Return `source`; for None or `latest`, return the newest run in runs/ that has a file `holding`."""
    if source is not None and (source != Path(LATEST) or source.exists()):
        return source
    run = newest_run(RUNS, holding)
    if run is None:
        raise GantoolError(
            f"no run in {RUNS}/ has a {holding}: train one with `gantool train`, or name a run"
        )
    return run


def options_beside(file: Path) -> TrainingOptions | None:
    """Return the options of the run in whose folder a file lies, or None."""
    options = file.parent / OPTIONS_NAME
    return read_options(options) if file.is_file() and options.is_file() else None


def conversion_beside(file: Path) -> tuple[str | None, Fit, str | None, int]:
    """Return background, fit, levels and bits, the last arguments of `load_images`, of the run beside a file.

    Those of a new run if there is none.
    """
    run = options_beside(file)
    return (None, "crop", None, 8) if run is None else (run.background, run.fit, run.levels, run.network.bits)


def records(path: Path) -> list[dict[str, Any]]:
    """Return the JSON objects in a .jsonl. Ignore other lines: incomplete or damaged ones."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            value = parse_json(line)
            if isinstance(value, dict):
                found.append(value)
    return found


def number(value: object) -> float | None:
    """Return a JSON value as a float; None if it is not a number, or is NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        return None
    return float(value)

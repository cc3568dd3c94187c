"""Prepare a resumed run: load its state, check it against the data, and truncate its logs."""

from __future__ import annotations

import json
import logging
import math
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any
from zlib import crc32

from lightning_fabric import Fabric

from gantool.models import CHECKPOINT_NAME
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.train.data.dataset import ImageData
from gantool.train.options import TrainingOptions
from gantool.train.run_dir import STATE_NAME, number, records
from gantool.train.state import PREVIOUS_NAME, TrainingState, load_state

_log = logging.getLogger(__name__)


def check_state(state: TrainingState, folder: Path, options: TrainingOptions, loaded: ImageData) -> None:
    """Raise an error if the run has reached its end or its data changed. Store the labels in the state."""
    network = options.network
    if state.images_seen >= options.kimg * 1000:
        raise UsageError(
            f"{folder} already has {state.images_seen / 1000:.1f} of {options.kimg:g} kimg: "
            f"give `kimg` {further(state)} to go on"
        )
    if options.teacher and not options.real_data:  # a sample of the teacher's images, of any number
        return
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
    labels = labels_of(options, loaded)
    if state.labels_in_data not in ("", labels):
        raise GantoolError(
            f"{options.data} now has other labels than {folder} was trained on (names of the classes and "
            f"checksum: {labels}; then {state.labels_in_data}): restore them, or start a new run"
        )
    state.labels_in_data = labels


def labels_of(options: TrainingOptions, loaded: ImageData) -> str:
    """Return class names and a checksum of the labels, for comparison on resume; "" without labels."""
    if not options.network.classes or loaded.labels is None:
        return ""
    return f"{', '.join(map(str, loaded.labels.classes))[:200]} {crc32(loaded.labels.values.tobytes()):08x}"


def load_resumable(folder: Path, options: TrainingOptions, fabric: Fabric) -> TrainingState:
    """Load the state of a run, or its previous state if that fails. Raises GantoolError if both fail."""
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
            again = f"gantool train --data {quote(options.data)}"
            again += f" --preset {options.preset}" if options.preset else ""
            if options.teacher:
                again = f"gantool distill {quote(options.teacher)}"
            raise GantoolError(f"{error}; {whole}to train on, start a new run: {again}") from error
        _log.warning(
            "%s\ngoing on from %s, at %.1f kimg", error, folder / PREVIOUS_NAME, state.images_seen / 1000
        )
        return state


def drop_stats_after(path: Path, images_seen: int) -> None:
    """Drop the lines of a log that come after the state: a killed run wrote them, and the resumed run repeats them.

    Ignore a log that cannot be read or written.
    """
    with suppress(OSError):
        kept = [line for line in records(path) if "source" in line or _at(line) <= images_seen / 1000]
        with atomic(path) as part:  # lines with "source" come from gantool evaluate, and stay
            part.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")


def _at(line: dict[str, Any]) -> float:
    kimg = number(line.get("kimg"))
    return math.inf if kimg is None else kimg


def further(state: TrainingState, least: float = 0.0) -> str:
    """Return a --kimg to go on with: twice the images seen, or `least`."""
    return f"{max(math.ceil(state.images_seen / 500), least):g}"

"""Measure candidates in rounds, each in a process of its own as `gantool bench` does; they take turns.

A machine gets slower when it is warm or when other programs start. In rounds, that meets every candidate.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.backends import providers
from gantool.runtime.bench import launch
from gantool.runtime.bench.timing import Timing, energy_of
from gantool.runtime.errors import GantoolError, MissingDependencyError
from gantool.runtime.progress import task
from gantool.runtime.tune.options import ROUNDS, TuneOptions
from gantool.runtime.tune.rows import Candidate, Row

_log = logging.getLogger(__name__)

STEADY = 1.3  # by this factor, a latency may differ from round to round


@dataclass(frozen=True)
class Turn:
    """What runs in one process."""

    candidate: Candidate
    provider: str
    threads: int | None


@dataclass(frozen=True)
class Measured:
    """The rows of all that runs here, and what the energy is that of."""

    rows: tuple[Row, ...]
    energy: tuple[str, ...]
    warnings: tuple[str, ...]


def measure(candidates: Sequence[Candidate], options: TuneOptions) -> Measured:
    """Measure what runs here. Raises GantoolError if nothing does."""
    turns = [turn for candidate in candidates for turn in _turns(candidate, options)]
    if not turns:  # graphs alone, and nothing to run them
        raise MissingDependencyError("onnxruntime", "cpu", "running an ONNX graph")
    busy = launch.busy_already()
    found: dict[tuple[Turn, int], list[Timing]] = {}
    with task("measuring", ROUNDS * len(turns)) as measured:
        done = 0
        for number in range(ROUNDS):
            for turn in turns if number % 2 == 0 else reversed(turns):
                for timing in _timings(turn, options, tell=number == 0):
                    found.setdefault((turn, timing.batch), []).append(timing)
                done += 1
                measured.update(done, turn.candidate.name)
            running = {turn for turn, _ in found}
            turns = [turn for turn in turns if turn in running]
    rows = tuple(_row(turn, timings) for (turn, _), timings in found.items() if len(timings) == ROUNDS)
    if not rows:
        raise GantoolError("none of these files runs here, so nothing was measured: the lines above say why")
    every = [timing for timings in found.values() for timing in timings]
    return Measured(rows, energy_of(every), (*busy, *_unsteady(rows)))


def _turns(candidate: Candidate, options: TuneOptions) -> Iterator[Turn]:
    if identify(candidate.file) != "onnx":
        yield Turn(candidate, "auto", None)
        return
    for provider in options.provider or providers.usable():
        for threads in options.threads or (None,):
            yield Turn(candidate, provider, threads)


def _timings(turn: Turn, options: TuneOptions, tell: bool) -> Iterator[Timing]:
    """Yield a timing of each batch size that the engine takes; none, and a warning, if it does not run here."""
    file, name = turn.candidate.file, turn.candidate.name
    try:
        for row in launch.rows(file, turn.provider, options.batches, options.seconds, turn.threads):
            if "error" in row:
                _log.warning(f"{name} is left out: {_without_folder(row['error'], file)}")
            elif "takes" not in row:
                yield Timing.from_json(file, turn.provider, row)
            elif tell:
                low, high = row["takes"]
                _log.warning(f"{name} takes batches of {low} to {high}: {row['batch']} is left out")
    except GantoolError as error:  # its process crashed
        _log.warning(f"{name} is left out: {_without_folder(str(error), file)}")


def _without_folder(text: str, file: Path) -> str:
    """Leave out the temporary folder of a file in a message."""
    return text.replace(f"{file.parent}/", "")


def _row(turn: Turn, timings: Sequence[Timing]) -> Row:
    energies = [timing.mj_per_image for timing in timings if timing.mj_per_image is not None]
    return Row(
        turn.candidate,
        turn.provider,
        turn.threads,
        timings[0].batch,
        timings[0].runs_on,
        ms=median(timing.ms.p50 for timing in timings),
        p90=median(timing.ms.p90 for timing in timings),
        rounds=tuple(timing.ms.p50 for timing in timings),
        images_per_second=median(timing.images_per_second for timing in timings),
        mj_per_image=median(energies) if energies else None,
        bytes=turn.candidate.file.stat().st_size,
    )


def _unsteady(rows: Sequence[Row]) -> list[str]:
    """Return a warning in a list if the latency of many rows changed from round to round."""
    many = sum(max(row.rounds) > STEADY * min(row.rounds) for row in rows)
    if many <= len(rows) // 10:
        return []
    return [
        f"of {many} of {len(rows)} rows, the latency changed by more than {STEADY - 1:.0%} from round to round: "
        "other programs were running, or the machine throttled; measure again, or for longer"
    ]

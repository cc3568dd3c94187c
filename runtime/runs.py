"""Run folders, `runs/00000-<data>-<preset>/`. Each has a unique number; `latest` is the run with the highest."""

from __future__ import annotations

import re
from pathlib import Path

RUNS = Path("runs")
LATEST = "latest"


def run_number(folder: Path) -> int | None:
    """Return the number at the start of a folder's name, None if it is not a run folder."""
    found = re.match(r"\d{5,9}(?=-|$)", folder.name, re.ASCII)
    return int(found[0]) if found else None


def newest_run(outdir: Path, holding: str) -> Path | None:
    """Return the run with the highest number among those with a file called `holding`, or None."""
    runs = [path.parent for path in outdir.glob(f"*/{holding}") if run_number(path.parent) is not None]
    return max(runs, key=lambda run: (run_number(run), run.name), default=None)


def new_run(outdir: Path, description: str) -> Path:
    """Make the next run folder in `outdir`. Processes that call this at the same time get different numbers."""
    outdir.mkdir(parents=True, exist_ok=True)
    while True:
        taken = [number for path in outdir.iterdir() if (number := run_number(path)) is not None]
        # The folder with the bare number is a lock. If the number is in use now, another process was faster.
        lock = outdir / f"{max(taken, default=-1) + 1:05d}"
        try:
            lock.mkdir()
        except FileExistsError:
            continue
        if any(run_number(path) == run_number(lock) for path in outdir.iterdir() if path != lock):
            lock.rmdir()
            continue
        return lock.rename(outdir / f"{lock.name}-{description}")

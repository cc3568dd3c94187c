"""The run folder: `runs/00000-<data>-<preset>/`, its number, and what lies in it.

training_options.json   what was asked for
stats.jsonl             one JSON object a tick
log.txt                 what was printed
fakes000123.png         fixed seeds after 123 kimg
generator.safetensors   the moving average of the generator: what `gantool export` takes
training_state.pt       all that --resume needs
"""

from __future__ import annotations

from pathlib import Path

from gantool.runtime.errors import GantoolError

OPTIONS_NAME = "training_options.json"
STATE_NAME = "training_state.pt"
STATS_NAME = "stats.jsonl"


def new_run(outdir: Path, description: str) -> Path:
    """Make the next run folder in `outdir`."""
    outdir.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name[:5]) for path in outdir.iterdir() if path.name[:5].isdecimal()]
    run = outdir / f"{max(numbers, default=-1) + 1:05d}-{description}"
    run.mkdir()
    return run


def find_run(resume: str, outdir: Path) -> Path:
    """Return the run folder that --resume names: `latest` in `outdir`, or a path."""
    if resume != "latest":
        named = Path(resume)
        folder = named.parent if named.is_file() else named  # its state or its checkpoint may be named
        if not (folder / STATE_NAME).is_file():
            found = f"holds no {STATE_NAME}" if folder.is_dir() else "does not exist"
            raise GantoolError(f"{folder} {found}: give --resume latest, or the folder of a run")
        return folder
    runs = [path.parent for path in outdir.glob(f"*/{STATE_NAME}") if path.parent.name[:5].isdecimal()]
    if not runs:
        raise GantoolError(f"no run in {outdir}/ can be resumed: start one with `gantool train`")
    return max(runs, key=lambda path: path.name)

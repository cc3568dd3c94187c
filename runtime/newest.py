"""Find the engines in the current folder, for a command that was given none."""

from __future__ import annotations

from pathlib import Path

from gantool.runtime.artifacts.onnx import low_of
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.backends.tensorrt.cuda import driver_problem, import_driver
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError


def engines(folder: Path) -> list[Path]:
    """Return the engines `g.*` that run on this machine, newest first. Raises UsageError if there is none."""
    files = [path for suffix in ("onnx", "plan") for path in folder.glob(f"g.*{suffix}") if path.is_file()]
    files = [path for path in files if path.name in ("g.onnx", "g.plan") or path.name.count(".") == 2]
    usable = sorted((path for path in files if _runs(path)), key=lambda path: -path.stat().st_mtime_ns)
    if not usable:
        names = ", ".join(sorted(path.name for path in files))
        reason = f"{names} do not run on this machine" if files else "there is no engine g.* in this folder"
        raise UsageError(f"{reason}: name a file, or make one with gantool export")
    return usable


def _runs(path: Path) -> bool:
    """Return whether an engine can run here: a plan needs a GPU, and a BF16 graph does not run on a CPU."""
    try:
        if identify(path) == "onnx":
            return low_of(path) != "bf16"
        return driver_problem(import_driver("tensorrt", "")) is None
    except (GantoolError, MissingDependencyError):
        return False

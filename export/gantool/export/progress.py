"""The builder's progress on a terminal, and the way to stop it: it asks after each step whether to go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def monitor(trt: Any, stopping: Sequence[object]) -> Any:
    """Return an IProgressMonitor that shows the outermost stage and ends the build once `stopping` holds something.

    TensorRT has it from 9.3 on; the class is made here since it derives from the library's.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._shown = sys.stderr is not None and sys.stderr.isatty()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            if self._shown and phase_name in self._steps:
                line = f"\r  {phase_name}: {step + 1} of {self._steps[phase_name]}"
                sys.stderr.write(f"{line:<70}")
                sys.stderr.flush()
            return not stopping

        def phase_finish(self, phase_name: str) -> None:
            if self._steps.pop(phase_name, None) and self._shown:
                sys.stderr.write("\r" + " " * 70 + "\r")

    return Monitor()

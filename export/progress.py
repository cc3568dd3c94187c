"""The builder's progress on a terminal, and the way to stop it: it asks after each step whether to go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from gantool.runtime.process.terminal import bare


def monitor(trt: Any, stopping: Sequence[object]) -> Any:
    """Return an IProgressMonitor that shows the stages and ends the build once `stopping` holds something.

    TensorRT has it from 10.0 on; the class is made here since it derives from the library's.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._stages: dict[
                str, tuple[int, int]
            ] = {}  # those that run, outermost first: done, of how many
            self._shown = sys.stderr is not None and sys.stderr.isatty()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self._stages[phase_name] = (0, num_steps)
            self._show()

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._stages[phase_name] = (step + 1, self._stages.get(phase_name, (0, 1))[1])
            self._show()
            return not stopping

        def phase_finish(self, phase_name: str) -> None:
            self._stages.pop(phase_name, None)  # an error here would end in the library's C++
            self._show()

        def _show(self) -> None:
            """Write over the line; the outermost stage alone stands still for minutes."""
            if self._shown:
                names = [*self._stages]
                ends = dict.fromkeys((*names[:1], *names[-1:]))
                line = " > ".join("{} {}/{}".format(name, *self._stages[name]) for name in ends)
                terminal = bare(sys.stderr)
                terminal.write(f"\r{line[:78]:<78}" if line else f"\r{'':<78}\r")
                terminal.flush()

    return Monitor()

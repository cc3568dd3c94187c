"""Show the progress of TensorRT's builder, and stop it: it asks after each step whether to continue."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from gantool.runtime.progress import Task, task


def monitor(trt: Any, stopping: Sequence[object]) -> Any:
    """Return an IProgressMonitor that reports the phases and stops the build once `stopping` is not empty.

    The class is made here since its base is in `trt`, TensorRT 10.0 or newer.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._stages: dict[str, tuple[int, int]] = {}  # name: (done, total); the outermost first
            self._stack = ExitStack()  # holds the task
            self._task: Task | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            if not self._stages:
                self._task = self._stack.enter_context(task("building the engine", num_steps))
            self._stages[phase_name] = (0, num_steps)
            self._report()

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._stages[phase_name] = (step + 1, self._stages.get(phase_name, (0, 1))[1])
            self._report()
            return not stopping

        def phase_finish(self, phase_name: str) -> None:
            self._stages.pop(phase_name, None)  # must not raise: the library's C++ is the caller
            self._report()
            if not self._stages:
                self._stack.close()

        def close(self) -> None:
            """End the task; a builder that fails may not finish its phases."""
            self._stack.close()

        def _report(self) -> None:
            """Show the outermost stage, which may not advance for minutes, and the innermost."""
            if self._stages and self._task is not None:
                (done, _), *_ = self._stages.values()
                name, (step, steps) = list(self._stages.items())[-1]
                self._task.update(done, f"{name} {step}/{steps}"[:60])

    return Monitor()

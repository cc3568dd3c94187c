"""Progress bars on a terminal, with the rate and the time left, and lines above them. Rich comes with Typer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from gantool.runtime.process.terminal import bare, printable


class Bars:
    """A reporter that draws a bar for each task. They are gone when no task runs."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TaskProgressColumn(),
            _Rate(),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
            console=Console(file=bare(sys.stderr)),
            transient=True,
        )

    @contextmanager
    def task(self, label: str, total: float | None, unit: str) -> Iterator[_Bar]:
        """Draw a bar while the context lasts."""
        bars = self._bars
        number = bars.add_task(printable(label), total=total, unit=unit, text="")
        try:
            if len(bars.tasks) == 1:
                bars.start()
            yield _Bar(bars, number)
        finally:
            if len(bars.tasks) == 1:
                bars.stop()
            bars.remove_task(number)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(printable(text, "\n\t"), markup=False, highlight=False, soft_wrap=True)


class _Bar:
    def __init__(self, bars: Progress, number: TaskID) -> None:
        self._bars, self._number = bars, number

    def update(self, done: float, text: str = "") -> None:
        self._bars.update(self._number, completed=done, text=printable(text))


class _Rate(ProgressColumn):
    """Units a second, as "812 images/s"."""

    def render(self, task: RichTask) -> Text:
        unit, rate = task.fields["unit"], task.speed
        return Text(f"{rate:,.{0 if rate >= 100 else 1}f} {unit}/s" if unit and rate else "")

"""Progress bars on a terminal, with rate and time left, and log lines above them. Rich comes with Typer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

from gantool.runtime.process.terminal import bare, printable


class Bars:
    """A reporter that draws a bar for each running task."""

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
            console=Console(file=cast(TextIO, _Stderr())),
            transient=True,
            redirect_stdout=False,  # rows on stdout must stay there
            redirect_stderr=False,
        )

    @contextmanager
    def task(self, label: str, total: float | None, unit: str) -> Iterator[_Bar]:
        """Draw a bar while the context lasts."""
        bars = self._bars
        number = bars.add_task(printable(label), total=total, unit=unit, text="")
        try:
            if len(bars.tasks) == 1:
                bars.start()
            yield _Bar(bars, next(each for each in bars.tasks if each.id == number))
        finally:
            if len(bars.tasks) == 1:
                bars.stop()
            bars.remove_task(number)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(
            printable(text, "\n\t"), markup=False, highlight=False, emoji=False, soft_wrap=True
        )


class _Bar:
    def __init__(self, bars: Progress, task: RichTask) -> None:
        self._bars, self._task = bars, task

    def update(self, done: float, text: str = "", total: float | None = None) -> None:
        if total is not None:
            self._task.total = total  # not with `update`, which resets the rate
        self._bars.update(self._task.id, completed=done, text=printable(text))


class _Stderr:
    """Looks up sys.stderr at each write: a run that outlives its terminal replaces it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(bare(sys.stderr), name)


class _Rate(ProgressColumn):
    """Units a second, as "812 images/s" or "0.812 kimg/s"."""

    def render(self, task: RichTask) -> Text:
        unit, rate = task.fields["unit"], task.speed
        if not unit or not rate:
            return Text("")
        return Text(f"{f'{rate:,.0f}' if rate >= 100 else f'{rate:.3g}'} {unit}/s")

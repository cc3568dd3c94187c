"""What the user sees of a run: a line per tick, a log of them, and a bar below if stderr is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gantool.runtime.errors import MissingDependencyError
from gantool.runtime.process.terminal import bare


@dataclass
class Report:
    """Where the lines of a run go. Use `reporting` to make one."""

    log_path: Path
    console: Console
    bar: Progress
    board: Any = None  # a SummaryWriter of TensorBoard

    def scalars(self, values: dict[str, Any], images_seen: int) -> None:
        """Pass the numbers among `values` to TensorBoard, with --tensorboard."""
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, images_seen)
            self.board.flush()

    def line(self, text: str) -> None:
        """Print a line and log it."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._log(text)

    def advance(self, fraction: float, text: str) -> None:
        """Move the bar to `fraction`, 0..1, with `text` beside it."""
        self.bar.update(self.bar.task_ids[0], completed=fraction, description=text)

    def _log(self, text: str) -> None:
        # A full disk leaves a gap in the log. Names of folders may hold bytes that are not UTF-8.
        with suppress(OSError), self.log_path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")


@contextmanager
def reporting(log_path: Path, tensorboard: bool = False) -> Iterator[Report]:
    """Show the bar, append lines to the log, and with `tensorboard` write an event file beside it.

    Raises MissingDependencyError for `tensorboard` without the package.
    """
    board = summary_writer()(str(log_path.parent)) if tensorboard else None
    console = Console(file=bare(sys.stderr))
    bar = Progress(
        BarColumn(20),
        TaskProgressColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    bar.add_task("starting", total=1.0)
    with bar:
        try:
            yield Report(log_path, console, bar, board)
        finally:
            if board is not None:
                board.close()


@contextmanager
def silence() -> Iterator[Report]:
    """Yield a report that goes nowhere, for all processes but rank zero."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere)
        bar = Progress(console=console, disable=True)
        bar.add_task("")
        yield Report(Path(os.devnull), console, bar)


def summary_writer() -> Any:
    """Return TensorBoard's SummaryWriter. Raises MissingDependencyError."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingDependencyError("tensorboard", "tensorboard", "--tensorboard") from error
    return SummaryWriter

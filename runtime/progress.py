"""The progress of long work: library code reports it here, and the command line draws it. By default nobody looks.

>>> with task("generating", total=64, unit="images") as made:
...     made.update(32)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """One piece of work that goes on."""

    def update(self, done: float, text: str = "", total: float | None = None) -> None:
        """Say how much is done, of the total; `text` is what stands beside it, `total` another total."""


class Reporter(Protocol):
    """Who shows the tasks. Tasks may run inside each other."""

    def task(self, label: str, total: float | None, unit: str) -> AbstractContextManager[Task]:
        """Begin a task; it ends with the context. A total of None is not known; no `unit`, no rate."""


class _Nobody:
    def task(self, label: str, total: float | None, unit: str) -> AbstractContextManager[Task]:  # noqa: ARG002
        return nullcontext(self)

    def update(self, done: float, text: str = "", total: float | None = None) -> None:
        pass


NOBODY: Reporter = _Nobody()
_reporter = NOBODY


@contextmanager
def reported_to(reporter: Reporter) -> Iterator[None]:
    """Show the tasks that begin within, on any thread, with `reporter`."""
    global _reporter  # one for the process, as with logging: tasks begin deep within the work
    before, _reporter = _reporter, reporter
    try:
        yield
    finally:
        _reporter = before


def task(label: str, total: float | None = None, unit: str = "") -> AbstractContextManager[Task]:
    """Begin a task of `total` units of work, as "images"; without a unit the rate means nothing."""
    return _reporter.task(label, total, unit)


def track(items: Iterable[T], label: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield the items as a task, each counts as done when the next is asked for."""
    with task(label, total, unit) as running:
        for done, item in enumerate(items, 1):
            yield item
            running.update(done)

"""The progress of long work: library code reports it, and the command line draws it. By default it is dropped.

>>> with task("generating", total=64, unit="images") as made:
...     made.update(32)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """A running piece of work."""

    def update(self, done: float, text: str = "", total: float | None = None) -> None:
        """Report the units that are done, a text to show beside the bar, and a new total unless it is None."""


class Reporter(Protocol):
    """Shows tasks. Tasks may be nested."""

    def task(self, label: str, total: float | None, unit: str) -> AbstractContextManager[Task]:
        """Begin a task; it ends with the context. `total` None: unknown. `unit` "": do not show a rate."""


class _Nobody:
    def task(self, label: str, total: float | None, unit: str) -> AbstractContextManager[Task]:  # noqa: ARG002
        return nullcontext(self)

    def update(self, done: float, text: str = "", total: float | None = None) -> None:
        pass


NOBODY: Reporter = _Nobody()
_reporter = NOBODY


@contextmanager
def reported_to(reporter: Reporter) -> Iterator[None]:
    """Report the tasks that begin while the block runs, in any thread, to `reporter`.

    One block at a time in a process: blocks of two threads must not overlap.
    """
    global _reporter  # one per process, as in logging, so that deep functions need no parameter for it
    before, _reporter = _reporter, reporter
    try:
        yield
    finally:
        _reporter = before


def task(label: str, total: float | None = None, unit: str = "") -> AbstractContextManager[Task]:
    """Begin a task of `total` units, "images" for example. Without a unit, no rate is shown."""
    return _reporter.task(label, total, unit)


def track(items: Iterable[T], label: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield the items, and report them as a task. An item counts as done when the next one is requested."""
    with task(label, total, unit) as running:
        for done, item in enumerate(items, 1):
            yield item
            running.update(done)

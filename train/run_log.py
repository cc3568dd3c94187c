"""Write the log of a run to its log.txt, at any verbosity, and silence all processes but rank zero."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gantool.runtime.flags import options, render
from gantool.runtime.progress import NOBODY, reported_to
from gantool.train.options import LaunchOptions, TrainingOptions

_LOGGER = logging.getLogger("gantool")


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append gantool's log messages from INFO upwards to a file while the block runs.

    Other handlers get no more messages than before. One run at a time in a process: logging is global.
    """
    level, propagate, shown = _LOGGER.level, _LOGGER.propagate, _LOGGER.getEffectiveLevel()
    own = [*_LOGGER.handlers]
    handlers: list[logging.Handler] = [_File(path)]
    if shown > logging.INFO and propagate:
        handlers.append(_Above(shown))
        _LOGGER.propagate = False

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= shown

    for each in own:
        each.addFilter(as_before)
    _LOGGER.setLevel(min(shown, logging.INFO))
    for each in handlers:
        _LOGGER.addHandler(each)
    try:
        yield
    finally:
        for each in own:
            each.removeFilter(as_before)
        for each in handlers:
            _LOGGER.removeHandler(each)
        _LOGGER.setLevel(level)
        _LOGGER.propagate = propagate


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing and report no progress while the block runs."""
    before = _LOGGER.level
    _LOGGER.setLevel(logging.CRITICAL + 1)
    try:
        with reported_to(NOBODY):
            yield
    finally:
        _LOGGER.setLevel(before)


class _File(logging.Handler):
    """Appends messages with the flags of `gantool train`. On a full disk, messages are lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path = path
        self._known = {**options(TrainingOptions), **options(LaunchOptions)}

    def emit(self, record: logging.LogRecord) -> None:
        line = render(record.getMessage(), self._known)
        # names of folders may hold bytes that are not UTF-8
        with suppress(OSError), self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")


class _Above(logging.Handler):
    """Passes records to the handlers of parent loggers, as propagation does."""

    def emit(self, record: logging.LogRecord) -> None:
        if _LOGGER.parent:
            _LOGGER.parent.callHandlers(record)

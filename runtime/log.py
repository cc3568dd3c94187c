"""What a terminal sees of a command's work: the lines that library code logs, and a bar. Both go to stderr.

Library code logs with `logging.getLogger(__name__)`: INFO is a step or a note, WARNING what the user should act on,
DEBUG what helps to find a fault. It reports progress with `gantool.runtime.progress`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gantool.runtime.commands import Verbosity
from gantool.runtime.flags import Option, render
from gantool.runtime.progress import reported_to


@contextmanager
def shown(how: Verbosity, known: Mapping[str, Option]) -> Iterator[None]:
    """Print what gantool logs within to stderr; draw its progress there if that is a terminal.

    Lines name parameters in backquotes, as errors do; those of `known` are shown as flags.
    """
    if how.quiet or sys.stderr is None or not sys.stderr.isatty():  # None: closed, as a daemon does
        with _logged(_echo, how, known):
            yield
        return
    from gantool.runtime.process.bar import Bars

    bars = Bars()
    with _logged(bars.line, how, known), reported_to(bars):
        yield


@contextmanager
def _logged(line: Callable[[str], None], how: Verbosity, known: Mapping[str, Option]) -> Iterator[None]:
    logger, handler = logging.getLogger("gantool"), _Lines(line, known)
    before = logger.level, logger.propagate
    handler.setFormatter(_Verbose() if how.verbose else logging.Formatter("%(message)s"))
    level = logging.WARNING if how.quiet else logging.DEBUG if how.verbose else logging.INFO
    handler.setLevel(level)  # of its own: a run keeps more lines in its log
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False  # a library that sets up the root logger would print each line once more
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class _Lines(logging.Handler):
    """Passes lines on. What goes wrong is raised: a pipe that ended ends the command."""

    def __init__(self, line: Callable[[str], None], known: Mapping[str, Option]) -> None:
        super().__init__()
        self._line, self._known = line, known

    def emit(self, record: logging.LogRecord) -> None:
        self._line(render(self.format(record), self._known))


class _Verbose(logging.Formatter):
    """Puts the time since the start, and the module of what is not a plain note, before each line."""

    def format(self, record: logging.LogRecord) -> str:
        origin = f" {record.name.removeprefix('gantool.')}:" if record.levelno < logging.INFO else ""
        return f"{record.relativeCreated / 1000:8.3f} s{origin} {record.getMessage()}"


def _echo(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")  # as it is now: a run that outlives its terminal replaces it
        sys.stderr.flush()

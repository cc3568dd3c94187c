"""Show the log and the progress of library code on stderr.

Library code logs with `logging.getLogger(__name__)`: INFO for steps and notes, WARNING for problems that the user
should act on, DEBUG for details that help to find a fault. It reports progress with `gantool.runtime.progress`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gantool.runtime.commands import Verbosity
from gantool.runtime.flags import Option, render
from gantool.runtime.process.terminal import printable
from gantool.runtime.progress import reported_to


@contextmanager
def shown(verbosity: Verbosity, known: Mapping[str, Option]) -> Iterator[None]:
    """Print gantool's log to stderr while the block runs; draw progress bars if stderr is a terminal.

    Log messages name parameters in backquotes, as errors do; those in `known` are printed as flags.
    """
    if verbosity.quiet or sys.stderr is None or not sys.stderr.isatty():  # None: a daemon closed it
        with _logged(_echo, verbosity, known):
            yield
        return
    from gantool.runtime.process.bar import Bars

    bars = Bars()
    with _logged(bars.line, verbosity, known), reported_to(bars):
        yield


@contextmanager
def _logged(line: Callable[[str], None], verbosity: Verbosity, known: Mapping[str, Option]) -> Iterator[None]:
    logger, handler = logging.getLogger("gantool"), _Lines(line, known)
    before = logger.level, logger.propagate
    handler.setFormatter(_Verbose() if verbosity.verbose else logging.Formatter("%(message)s"))
    level = logging.WARNING if verbosity.quiet else logging.DEBUG if verbosity.verbose else logging.INFO
    handler.setLevel(level)  # also on the handler: a training run lowers the logger's level for its log.txt
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False  # otherwise a library that configures the root logger prints each line again
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _Lines(logging.Handler):
    """Passes lines on. Errors are raised, not printed by logging: a broken pipe must end the command."""

    def __init__(self, line: Callable[[str], None], known: Mapping[str, Option]) -> None:
        super().__init__()
        self._line, self._known = line, known

    def emit(self, record: logging.LogRecord) -> None:
        self._line(render(self.format(record), self._known))


class _Verbose(logging.Formatter):
    """Puts the time since the command began before each line, and the module before debug messages."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.time()

    def format(self, record: logging.LogRecord) -> str:
        origin = f" {record.name.removeprefix('gantool.')}:" if record.levelno < logging.INFO else ""
        lines = [record.getMessage()]
        if record.exc_info:
            lines += map(printable, self.formatException(record.exc_info).splitlines())
        return f"{record.created - self._began:8.3f} s{origin} " + "\n".join(lines)


def _echo(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")  # looked up at each line: a run that outlives its terminal replaces it
        sys.stderr.flush()

"""Stop between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gantool.runtime.process.interrupt import TOGETHER


def ending_signals() -> list[signal.Signals]:
    """Return the signals that ask a process to end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is closed.

    Ignored ones are left out: nohup ignores SIGHUP so that work goes on without its terminal, and a shell ignores
    SIGINT for background jobs.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect the signals that ask to end in a list, which a loop checks; a second one ends the process as usual.

    A signal within half a second of the first does not count as a second one: senders often send two and mean one.
    Signals are not raised as exceptions, since Python can drop one (in a destructor, say).
    """
    received: list[int] = []
    first = 0.0

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal first
        first = first or time.monotonic()
        if received and time.monotonic() - first > TOGETHER:
            for known, handler in previous.items():
                signal.signal(known, handler)
            signal.raise_signal(number)
        received.append(number)

    previous = {known: signal.getsignal(known) for known in ending_signals()}
    for known in previous:
        signal.signal(known, note)
    try:
        yield received
    finally:
        for known, handler in previous.items():
            signal.signal(known, handler)

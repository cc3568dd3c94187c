"""Collect signals, so that a loop can stop between two steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gantool.runtime.process.interrupt import TOGETHER


def ending_signals() -> list[signal.Signals]:
    """Return the signals that ask a process to end: SIGINT (Ctrl-C), SIGTERM, and SIGHUP (the terminal was closed).

    Leave out those that are ignored: nohup ignores SIGHUP, and a shell ignores SIGINT for background jobs. Outside
    the main thread there are none: Python takes handlers from that thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list to which each ending signal is appended, for a loop to check; a second one ends the process.

    A signal within half a second of the first does not count as a second one: senders often send two and mean one.
    Signals do not raise exceptions here, because Python can drop an exception, for example in a destructor.
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

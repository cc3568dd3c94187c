"""Stop between two steps, not in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, for a loop to look at; a second one ends the process as usual.

    An exception raised by a signal may come anywhere, also where Python drops it (in a destructor, say).
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        received.append(number)
        for known, handler in previous.items():
            signal.signal(known, handler)

    previous = {known: signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)}
    for known in previous:
        signal.signal(known, note)
    try:
        yield received
    finally:
        for known, handler in previous.items():
            signal.signal(known, handler)

"""Handle Ctrl-C and `kill` while the main thread is inside a library, which delays Python's signal handlers.

Python writes the number of each signal into a pipe at once, and a thread reads it there. If the command does not
end by itself, the thread cancels the running libraries. It ends the process if a second signal comes, or if a
library without a way to cancel does not return. This adds no cost to running an engine.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gantool.runtime.files import remove_unfinished

EXIT_CODE = 130
TOGETHER = 0.5  # seconds in which two signals count as one: `timeout`, systemd and shells often send two
GRACE = 1.0  # seconds: a batch or a training step usually ends by itself
PATIENCE = 5.0  # seconds to wait for a library that cannot be cancelled

_calls: set[object] = set()  # running calls of libraries that cannot be cancelled
_cancels: list[Callable[[], None]] = []
_cancelled = threading.Event()


def when_stopped(cancel: Callable[[], None]) -> None:
    """Register `cancel`. A thread calls it if the command is still running some time after a signal."""
    _cancels.append(cancel)


@contextmanager
def uncancellable() -> Iterator[None]:
    """Mark a call into a library that has no way to cancel it."""
    call = object()
    _calls.add(call)
    try:
        yield
    finally:
        _calls.discard(call)


def stopped() -> bool:
    """Return whether the running libraries were cancelled: their errors are then not failures."""
    return _cancelled.is_set()


def watch() -> None:
    """Watch the signals of this process from now on. The signals need Python handlers."""
    if sys.platform == "win32":  # there, set_wakeup_fd accepts only sockets
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(reader,), name="gantool-signals", daemon=True).start()


def _wait(reader: int) -> None:
    os.read(reader, 1)
    time.sleep(TOGETHER)
    os.set_blocking(reader, False)
    with suppress(BlockingIOError):
        os.read(reader, 1024)
    os.set_blocking(reader, True)
    select.select([reader], [], [], GRACE - TOGETHER)  # or a second signal
    _cancelled.set()
    for cancel in _cancels:
        cancel()
    stuck = set(_calls)
    again, _, _ = select.select([reader], [], [], PATIENCE if stuck else None)
    if not again and not stuck & _calls:  # all calls returned, so the command is ending by itself
        select.select([reader], [], [])
    select.select([], [], [], GRACE)
    remove_unfinished()
    os.write(2, b"gantool: interrupted\n")
    os._exit(EXIT_CODE)

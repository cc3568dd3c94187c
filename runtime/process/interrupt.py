"""Ctrl-C and `kill` while the main thread is inside a library, where Python's own handlers wait for its return.

Python writes the number of each signal into a pipe at once, and a thread reads it there. If the command does not
end by itself, the thread asks the libraries to stop. It ends the process if the signal came twice, or if a library
that cannot be asked does not return. This costs a run of an engine nothing.
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
TOGETHER = 0.5  # seconds: `timeout`, systemd and shells send a signal twice and mean one
GRACE = 1.0  # seconds: a batch or a training step usually ends by itself
PATIENCE = 5.0  # seconds for a library that cannot be asked

_calls: set[object] = set()  # under way, of libraries that cannot be asked
_cancels: list[Callable[[], None]] = []
_cancelled = threading.Event()


def when_stopped(cancel: Callable[[], None]) -> None:
    """Register `cancel`, to be called from another thread if the command goes on after a signal."""
    _cancels.append(cancel)


@contextmanager
def deaf() -> Iterator[None]:
    """Mark a call into a library that cannot be asked to stop."""
    call = object()
    _calls.add(call)
    try:
        yield
    finally:
        _calls.discard(call)


def stopped() -> bool:
    """Whether libraries were asked to stop: an error of theirs is then not a failure."""
    return _cancelled.is_set()


def watch() -> None:
    """Watch the signals of this process from now on; the handlers must be Python's."""
    if sys.platform == "win32":  # signals arrive through sockets only there
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
    if not again and not stuck & _calls:  # they returned: the command is ending by itself
        select.select([reader], [], [])
    select.select([], [], [], GRACE)
    remove_unfinished()
    os.write(2, b"gantool: interrupted\n")
    os._exit(EXIT_CODE)

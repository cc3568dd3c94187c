"""Work in threads, results in order, never more of it waiting than fits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from gantool.runtime.errors import UsageError
from gantool.runtime.process.cpus import cores

T = TypeVar("T")


def thread_count(threads: int | None) -> int:
    """Return `threads`, or one for each core where it is None. Raises UsageError for less than one."""
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: give a whole number from 1")
    return threads or cores()


@contextmanager
def in_order(threads: int, take: Callable[[T], None]) -> Iterator[Callable[[Callable[[], T]], None]]:
    """Yield `put(work)`, which has `work()` done in a thread; `take` gets the results in the order of `put`.

    `put` waits while two pieces of work a thread are unfinished, so that memory is bounded. `take` is called in
    the thread of `put`. At the end, and after Ctrl-C or a failure elsewhere, what was put is finished; after a
    failure of work itself the rest is dropped.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="gantool") as pool:

        def put(work: Callable[[], T]) -> None:
            if len(pending) >= 2 * threads:
                take(pending.popleft().result())
            pending.append(pool.submit(work))

        def finish() -> None:
            while pending:
                take(pending.popleft().result())

        try:
            yield put
            finish()
        except BaseException:
            with suppress(Exception):  # the first failure is the one to tell
                finish()
            raise
        finally:
            for future in pending:
                future.cancel()

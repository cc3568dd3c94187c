"""Run work in threads, and return the results in order, with a bounded number of pieces in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from gantool.runtime.errors import UsageError
from gantool.runtime.process.cpus import cores

T = TypeVar("T")
R = TypeVar("R")


def thread_count(threads: int | None) -> int:
    """Return `threads`, or the number of cores if it is None. Raises UsageError for less than one."""
    if threads is not None and threads < 1:
        raise UsageError(f"`encoders` {threads}: give a whole number from 1")
    return threads or cores()


def ordered_map(
    work: Callable[[T], R], items: Iterable[T], threads: int, waiting: int | None = None
) -> Generator[R, None, None]:
    """Yield `work(item)` for each item, in order, computed in threads.

    At most `waiting` items wait for a thread or for the caller; None is two per thread. The calling thread takes
    items from `items` as they are needed. Closing the generator early drops the items that no thread has begun.
    """
    done: deque[R] = deque()
    with ordered_pool(threads, done.append, waiting) as submit:
        for item in items:
            submit(partial(work, item))
            while done:
                yield done.popleft()
    yield from done


@contextmanager
def ordered_pool(
    threads: int, take: Callable[[R], None], waiting: int | None = None
) -> Iterator[Callable[[Callable[[], R]], None]]:
    """Yield `submit(work)`, which runs `work()` in a thread; call `take` with the results in the order of `submit`.

    `submit` blocks while `waiting` pieces of work (None: two per thread) are unfinished, so memory is bounded.
    `take` is called in the thread that calls `submit`. When the block ends, also by Ctrl-C or an error in it,
    submitted work is finished. If the work itself fails, the rest is dropped.
    """
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="gantool") as pool:

        def submit(work: Callable[[], R]) -> None:
            if len(pending) >= (waiting or 2 * threads):
                take(pending.popleft().result())
            pending.append(pool.submit(work))

        def finish() -> None:
            while pending:
                take(pending.popleft().result())

        try:
            yield submit
            finish()
        except GeneratorExit:  # the caller does not need the results any more
            raise
        except BaseException:
            with suppress(Exception):  # the first failure is the one to report
                finish()
            raise
        finally:
            for future in pending:
                future.cancel()

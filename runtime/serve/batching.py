"""The line in front of the engine: one queue, one engine thread, encoders in threads.

A request is one job of a batch at most. The engine thread takes the oldest job, and others of the same engine up to
a full batch: what gathered while the engine worked. Encoders finish the jobs while it computes the next batch.
Jobs are made and counted in the event loop; a job whose client has gone is dropped when its turn comes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gantool.runtime.outputs.image_files import pieces
from gantool.runtime.process.pool import thread_count
from gantool.runtime.process.terminal import reason_of
from gantool.runtime.serve.engines import Engine, Wanted
from gantool.runtime.serve.metrics import Metrics
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.spec import Images

T = TypeVar("T")
_log = logging.getLogger(__name__)


class BusyError(Exception):
    """There is no room in the line, or the request has waited for too long."""


@dataclass(eq=False)
class Job(Generic[T]):
    """Images that a request waits for, at most a batch of them."""

    engine: Engine
    wanted: Wanted
    finish: Callable[[Images], T]  # runs in an encoder thread
    future: asyncio.Future[T]
    alone: bool  # never in a batch with others
    since: float = field(default_factory=time.monotonic)


class Line:
    """The jobs that wait, and the threads that do them."""

    def __init__(self, options: ServeOptions, metrics: Metrics) -> None:
        self.waiting = 0  # images, from `submit` to their result
        self.failed: set[str] = set()  # models whose last batch failed
        self._options, self._metrics = options, metrics
        self._jobs: deque[Job[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = thread_count(options.encoders)
        self._encoders = ThreadPoolExecutor(self._threads, "gantool-encoder")
        self._engine = threading.Thread(target=self._work, name="gantool-engine", daemon=True)
        self._engine.start()

    async def submit(
        self,
        engine: Engine,
        wanted: Wanted,
        finish: Callable[[Images], T],
        *,
        admitted: bool = False,
        alone: bool = False,
    ) -> T:
        """Return `finish(images)` of at most a batch of images, [n, H, W, C].

        `admitted`: it goes on with a request that was let in. Raises BusyError at once if there is no room, or when
        its time is over.
        """
        if not admitted:
            self.check_room(len(wanted))
        loop = asyncio.get_running_loop()
        job: Job[T] = Job(engine, wanted, finish, loop.create_future(), alone)
        self.waiting += len(wanted)
        job.future.add_done_callback(lambda _: self._leave(len(wanted)))
        timer = loop.call_later(self._options.timeout, self._late, job)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await job.future
        finally:
            timer.cancel()

    def check_room(self, images: int = 1) -> None:
        """Raise BusyError if there is no room for so many images more."""
        if self.waiting and self.waiting + images > self._options.max_queue:
            self._metrics.rejected += 1
            raise BusyError("the server is busy")

    def close(self) -> None:
        """End the threads; jobs that wait are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._engine.join(self._options.timeout)  # a daemon: a library that hangs does not keep the process
        self._encoders.shutdown(wait=False, cancel_futures=True)

    def _leave(self, images: int) -> None:
        self.waiting -= images

    def _late(self, job: Job[Any]) -> None:
        if not job.future.done():
            self._metrics.rejected += 1
            job.future.set_exception(BusyError("the engine did not come to it in time"))

    def _work(self) -> None:
        while jobs := self._take():
            self._try(jobs)

    def _take(self) -> list[Job[Any]]:
        """Wait for jobs; return those of the next batch, or none when the line is closed."""
        with self._changed:
            while True:
                self._jobs = deque(job for job in self._jobs if not job.future.done())
                if self._closed:
                    return []
                if not self._jobs:
                    self._changed.wait()
                    continue
                left = self._jobs[0].since + self._options.max_wait_ms / 1000 - time.monotonic()
                if left <= 0 or self._full():
                    return self._batch()
                self._changed.wait(left)

    def _full(self) -> bool:
        first = self._jobs[0]
        same = (len(job.wanted) for job in self._jobs if job.engine is first.engine)
        return first.alone or sum(same) >= self._options.max_batch

    def _batch(self) -> list[Job[Any]]:
        """Take the oldest job, and those of its engine that fit into a batch with it."""
        first = self._jobs.popleft()
        batch, left = [first], deque[Job[Any]]()
        room = 0 if first.alone else self._options.max_batch - len(first.wanted)
        for job in self._jobs:
            if job.engine is first.engine and not job.alone and len(job.wanted) <= room:
                batch.append(job)
                room -= len(job.wanted)
            else:
                left.append(job)
        self._jobs = left
        return batch

    def _try(self, jobs: Sequence[Job[Any]]) -> None:
        try:
            self._run(jobs)
        except Exception as error:
            if len(jobs) > 1:  # one request, of z that overflows perhaps, must not fail the others
                for job in jobs:
                    self._try([job])
            else:
                self._fail(jobs[0], error)

    def _run(self, jobs: Sequence[Job[Any]]) -> None:
        """Compute a batch, and hand its jobs to the encoders."""
        engine, began = jobs[0].engine, time.monotonic()
        images = engine.images([each for job in jobs for each in job.wanted])
        self._metrics.batch(engine.name, len(images), time.monotonic() - began)
        self.failed.discard(engine.name)
        parts: list[tuple[Job[Any], Images]] = []
        start = 0
        for job in jobs:
            end = start + len(job.wanted)
            parts.append((job, images[start:end]))
            start = end
        for piece in pieces(len(parts), self._threads):
            self._encoders.submit(self._finish, parts[piece])

    def _finish(self, parts: Sequence[tuple[Job[Any], Images]]) -> None:
        """Finish jobs in an encoder thread, and give the results to their requests in the event loop."""
        results: list[tuple[Job[Any], Any, Exception | None]] = []
        for job, images in parts:
            if job.future.done():  # the client has gone
                continue
            try:
                results.append((job, job.finish(images), None))
            except Exception as error:
                results.append((job, None, error))
        if results:
            _in_loop(results)

    def _fail(self, job: Job[Any], error: Exception) -> None:
        self.failed.add(job.engine.name)
        _log.warning("the engine %s failed: %s", job.engine.name, reason_of(error, 300))
        _in_loop([(job, None, error)])


def itself(images: Images) -> Images:
    """Finish a job whose result is its images."""
    return images


def _in_loop(results: Sequence[tuple[Job[Any], Any, Exception | None]]) -> None:
    loop = results[0][0].future.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_give, results)


def _give(results: Sequence[tuple[Job[Any], Any, Exception | None]]) -> None:
    for job, result, error in results:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)

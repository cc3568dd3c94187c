"""Choose the images of each step, also a teacher's, and prefetch them in a thread during the previous step."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from gantool.train.distill.teacher import lesson
from gantool.train.distributed import rank_slice
from gantool.train.session import Session
from gantool.train.state import TrainingState
from gantool.train.step import Batch, Targets


class Prefetcher:
    """Fetches the batch of the next step in a thread. Use it in a `with` block."""

    def __init__(self, session: Session, state: TrainingState) -> None:
        self.data, self.options, self.position = session.data, session.options, state.images_seen
        self.slice, self.teacher = rank_slice(state.fabric), session.teacher
        self.sampler = Sampler(len(session.data.images), session.options.seed)
        self.pool = ThreadPoolExecutor(1)
        self.wait = 0.0  # seconds that steps waited

    def __enter__(self) -> Prefetcher:
        self.future = self.pool.submit(self._fetch, self.position)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.pool.shutdown()

    def next(self) -> Batch:
        """Return this process's slice of the next batch: images, [B, H, W, C], labels, [B], and targets."""
        started = time.perf_counter()
        batch = self.future.result()
        self.wait += time.perf_counter() - started
        self.position += self.options.batch
        self.future = self.pool.submit(self._fetch, self.position)
        return batch

    def waited(self) -> float:
        """Return the seconds that steps waited for images since the last call."""
        waited, self.wait = self.wait, 0.0
        return waited

    def _fetch(self, position: int) -> Batch:
        chosen = self.sampler.indices(position, self.options.batch)[self.slice]
        labels = self.data.labels if self.options.network.classes else None
        images, classes = self.data.images[chosen], None if labels is None else labels.values[chosen]
        if self.teacher is None:
            return images, classes, None
        seeds = lesson(self.options.seed, position, self.options.batch)[self.slice]
        z, of_seeds = self.teacher.inputs(seeds)
        if not self.options.real_data:
            return self.teacher.generate(z, of_seeds), of_seeds, Targets(z)
        return (
            images,
            classes,
            Targets(z, self.teacher.generate(z, classes)),
        )  # of the classes of the real images


class Sampler:
    """Chooses the images of each step: a new permutation per epoch, which depends only on seed and position.

    So a resumed run continues with the same images as an unbroken one.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = -1
        self.order = np.empty(0, np.int64)  # [count], of the epoch

    def indices(self, position: int, batch: int) -> NDArray[np.int64]:
        """Return the indices, [batch], of the images after the first `position` images of the run."""
        parts = []
        while batch:
            epoch, start = divmod(position, self.count)
            if epoch != self.epoch:
                self.epoch = epoch
                self.order = _stream(self.seed, epoch).permutation(self.count)
            part = self.order[start : start + batch]
            parts.append(part)
            position, batch = position + len(part), batch - len(part)
        return np.concatenate(parts)


def _stream(seed: int, epoch: int) -> np.random.RandomState:
    """Return the random stream of an epoch: RandomState, which NumPy has frozen, seeded by 32-bit words."""
    return np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, epoch])

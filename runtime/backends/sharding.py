"""Sharding: split each batch into parts, and let each CPU core compute a part by itself.

This is faster than all cores on one layer at a time, where they wait for each other after every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import numpy as np

from gantool.runtime.process.pool import ordered_map
from gantool.runtime.spec import Batch, Images, Labels, Latents, Spec


def should_split(batches: Iterable[Batch], spec: Spec) -> tuple[Iterator[Batch], bool]:
    """Return the same batches, and whether to split them: if there are several and the graph takes parts."""
    rest = iter(batches)
    first = list(islice(rest, 2))
    return chain(first, rest), len(first) == 2 and spec.max_batch in (None, 1)


def infer_split(
    batches: Iterable[Batch], threads: int, infer: Callable[[Latents, Labels | None], Images]
) -> Iterator[tuple[Batch, Images]]:
    """Yield each batch with its images, in order; `infer` is called in `threads` threads.

    It takes batches ahead of time, until each thread has a part to compute and a next one.
    """

    def run(part: tuple[Batch, Latents, Labels | None, bool]) -> tuple[Batch, Images, bool]:
        batch, z, label, last = part
        return batch, infer(z, label), last

    done: list[Images] = []
    for batch, images, last in ordered_map(run, _parts(batches, threads), threads):
        done.append(images)
        if last:
            yield batch, done[0] if len(done) == 1 else np.concatenate(done)
            done = []


def _parts(batches: Iterable[Batch], threads: int) -> Iterator[tuple[Batch, Latents, Labels | None, bool]]:
    """Yield (batch, z, label, last) for each part of each batch; `last` marks the last part of a batch."""
    for batch in batches:
        count = min(threads, len(batch.z))
        z = np.array_split(batch.z, count)
        labels = [None] * count if batch.label is None else np.array_split(batch.label, count)
        for index in range(count):
            yield batch, z[index], labels[index], index == count - 1

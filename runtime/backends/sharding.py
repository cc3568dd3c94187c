"""Batches one after the other, each cut into parts, of which each core computes one by itself.

On a CPU that is quicker than all cores on one layer after the other, which wait for each other after each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice

import numpy as np

from gantool.runtime.spec import Images, Labels, Latents, Spec

Batch = tuple[Latents, Labels | None]


def worth_parts(batches: Iterable[Batch], spec: Spec) -> tuple[Iterator[Batch], bool]:
    """Return the same batches, and whether there are several and the graph takes parts of them."""
    rest = iter(batches)
    first = list(islice(rest, 2))
    return chain(first, rest), len(first) == 2 and spec.max_batch in (None, 1)


def in_parts(
    batches: Iterable[Batch], threads: int, infer: Callable[[Latents, Labels | None], Images]
) -> Iterator[Images]:
    """Yield the images of each batch in order; `infer` is called in as many threads.

    No more images are in work at a time than a batch has, or threads. Batches are asked for ahead until each thread
    has a part to go on with.
    """
    pending: deque[list[Future[Images]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="gantool") as pool:
        for batch in batches:
            pending.append([pool.submit(infer, *part) for part in _parts(*batch, threads)])
            while sum(map(len, pending)) > threads:  # the others keep the threads at work
                yield _joined(pending.popleft())
        while pending:
            yield _joined(pending.popleft())


def _parts(z: Latents, label: Labels | None, threads: int) -> Iterator[Batch]:
    parts = min(threads, len(z))
    labels = [None] * parts if label is None else np.array_split(label, parts)
    return zip(np.array_split(z, parts), labels, strict=True)


def _joined(parts: list[Future[Images]]) -> Images:
    images = [part.result() for part in parts]
    return images[0] if len(images) == 1 else np.concatenate(images)

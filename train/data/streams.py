"""Random numbers beside those of training: what is measured or drawn between two steps must not change a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """Draw on the CPU from a stream of this seed inside; torch's global stream is as before afterwards.

    Not torch.manual_seed, which would seed the GPUs, too, for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def aside(device: torch.device) -> Iterator[None]:
    """Leave the random state of training on `device` and on the CPU as it was, whatever is drawn inside."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield

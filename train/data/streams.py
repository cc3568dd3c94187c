"""Random numbers apart from those of training: measuring between two steps must not change a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """Seed torch's stream on the CPU inside the block, and restore it afterwards.

    Not torch.manual_seed, which also seeds the GPUs, for good.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def aside(device: torch.device) -> Iterator[None]:
    """Restore the random state on `device` and on the CPU after the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield

"""Protect the random state of training: measuring between two steps must not change a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """Seed torch's random state on the CPU while the block runs, and restore it afterwards.

    It does not use torch.manual_seed, which also seeds the GPUs, and these would not be restored.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def aside(device: torch.device) -> Iterator[None]:
    """Restore torch's random state on `device` and on the CPU after the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield

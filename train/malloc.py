"""Tell the C library to keep the memory that tensors free."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # constants of malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; the largest value that glibc accepts


def keep_freed_memory() -> None:
    """Make glibc keep the memory that a step frees for the next step, instead of returning it to the system.

    Otherwise each step maps new memory for its activations, and the kernel zeroes thousands of pages: 4 to 10 % of
    the time of a step on a CPU. Blocks over 32 MiB, other systems and other C libraries are not affected.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)

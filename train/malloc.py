"""What the C library does with the memory that tensors free."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; glibc takes no more


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one, in place of giving it back to the system.

    Else each step maps its activations anew, and the kernel zeroes thousands of pages: 4 to 10 % of the step on
    a CPU. Blocks over 32 MiB, other systems and other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)

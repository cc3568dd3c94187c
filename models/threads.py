"""Set the number of threads that torch uses on a CPU."""

from __future__ import annotations

import logging

import torch

from gantool.runtime.process.cpus import Others, cores, is_busy

_log = logging.getLogger(__name__)


def limit_threads() -> int:
    """Limit torch to as many threads as this process has CPUs; return how many it uses.

    By default torch counts the CPUs of the machine. If this process has fewer, the threads wait for each other at
    every layer. A smaller number that OMP_NUM_THREADS or `torch.set_num_threads` set stays.
    """
    count = min(torch.get_num_threads(), cores())
    torch.set_num_threads(count)
    return count


def leave_room(others: Others) -> None:
    """Limit torch as `limit_threads` does, and on a busy machine to one thread per free CPU.

    Otherwise all threads wait at each layer for the one without a CPU, so fewer threads are faster.
    """
    most, used = limit_threads(), others.cpus()
    if is_busy(used) and (room := others.room()) < most:
        torch.set_num_threads(room)
        threads = f"{room} thread{'s' if room > 1 else ''}"
        _log.warning(
            "the machine is busy, other programs use %.1f CPUs: going on with %s, not %d", used, threads, most
        )

"""How many threads torch computes with on a CPU."""

from __future__ import annotations

import torch

from gantool.runtime.cpus import cores


def limit_threads() -> int:
    """Have torch use no more threads than this process has CPUs, and return how many it uses.

    By itself torch goes by the CPUs of the machine; where a quota gives fewer, the threads wait for each other at
    every layer. Fewer by OMP_NUM_THREADS or `torch.set_num_threads` stay fewer.
    """
    count = min(torch.get_num_threads(), cores())
    torch.set_num_threads(count)
    return count

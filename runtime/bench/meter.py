"""Find the meters of this machine, and measure the energy of a piece of work.

A Jetson's INA3221 counts the whole board. Else RAPL counts the processor, and for engines on a GPU NVML counts that
GPU. A meter counts all that its part draws, other programs and rest included.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gantool.runtime.bench import ina3221, nvml, rapl
from gantool.runtime.bench.sources import Source


@dataclass(frozen=True)
class Meter:
    """What is counted for an engine, or why nothing is."""

    sources: tuple[Source, ...]
    missing: str = ""  # why there are none

    @property
    def name(self) -> str:
        """The parts that are counted, as "RAPL package-0, RAPL package-0 DRAM"; "" without a meter."""
        return ", ".join(source.name for source in self.sources)

    def joules(self) -> float:
        """Return the energy of all parts since the meter was found."""
        return sum(source.joules() for source in self.sources)


@dataclass
class Reading:
    """The energy of a block."""

    joules: float | None = None  # None without a meter


def find(on_gpu: bool, root: Path = Path("/")) -> Meter:
    """Return the meter for engines on the CPU, or for those on the GPU. `root`: the folder with /sys."""
    board = ina3221.find(root)
    if not isinstance(board, str):
        return Meter(tuple(board))
    processor = rapl.find(root)
    if not on_gpu:
        if isinstance(processor, str):
            return Meter((), f"{board}; {processor}")
        return Meter(tuple(processor))
    gpu = nvml.find()
    if isinstance(gpu, str):  # the processor alone would not be the energy of a GPU's images
        return Meter((), f"{board}; {gpu}")
    return Meter((*gpu, *(() if isinstance(processor, str) else processor)))


@contextmanager
def metered(meter: Meter, interval: float = 0.05) -> Iterator[Reading]:
    """Measure the energy of the block; it is in the reading when the block has ended."""
    reading = Reading()
    if not meter.sources:
        yield reading
        return
    before = meter.joules()
    done = threading.Event()

    def integrate() -> None:
        while not done.wait(interval):
            meter.joules()

    thread = threading.Thread(target=integrate, daemon=True)
    thread.start()
    try:
        yield reading
    finally:
        done.set()
        thread.join()
        reading.joules = meter.joules() - before

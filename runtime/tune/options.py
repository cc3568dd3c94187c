"""The options of `gantool tune` that say what fits, and what is measured."""

# No `from __future__ import annotations`: Python would compile the flags' annotations at every start.

from dataclasses import dataclass, field
from typing import Annotated

from gantool.runtime.flags import Flag, check, positive, whole_numbers
from gantool.runtime.tune.units import ENERGIES, SIZES, TIMES, quantity

_BUDGET, _MEASURED = "Budget", "Measurement"
ROUNDS = 3


@dataclass(frozen=True)
class Budget:
    """What a file has to keep to. None: no limit."""

    latency: Annotated[
        float | None,
        Flag(
            "time of a batch with its copies, at most; the median counts",
            group=_BUDGET,
            metavar="5ms",
            check=positive,
            parse=quantity("latency", TIMES),
        ),
    ] = None  # milliseconds
    fps: Annotated[
        float | None, Flag("images a second, at least", group=_BUDGET, metavar="200", check=positive)
    ] = None
    size: Annotated[
        float | None,
        Flag(
            "size of the file, at most",
            group=_BUDGET,
            metavar="2MB",
            check=positive,
            parse=quantity("size", SIZES),
        ),
    ] = None  # MB
    energy: Annotated[
        float | None,
        Flag(
            "energy of an image, at most",
            group=_BUDGET,
            metavar="5mJ",
            check=positive,
            parse=quantity("energy", ENERGIES),
        ),
    ] = None  # millijoules
    quality: Annotated[
        float | None,
        Flag(
            "what is good enough, in the unit of the table's last column; the cheapest such file is the best",
            group=_BUDGET,
            metavar="X",
            check=positive,
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)

    def __bool__(self) -> bool:
        return self != Budget()


@dataclass(frozen=True)
class TuneOptions:
    """What fits, and how files are measured."""

    budget: Budget = field(default_factory=Budget)
    batch: Annotated[
        tuple[int, ...] | None,
        Flag(
            "batch sizes, separated by commas",
            group=_MEASURED,
            metavar="SIZES",
            shown="1; with --fps or --energy 1,8,32",
            parse=whole_numbers("batch", 99_999),
        ),
    ] = None
    provider: Annotated[
        tuple[str, ...] | None,
        Flag(
            "providers of graphs, separated by commas",
            group=_MEASURED,
            metavar="NAMES",
            shown="all that are installed",
            parse=lambda text: str(text).split(","),
        ),
    ] = None
    threads: Annotated[
        tuple[int, ...] | None,
        Flag(
            "numbers of threads that run a graph on the CPU, separated by commas",
            "--engine-threads",
            group=_MEASURED,
            metavar="NUMBERS",
            shown="one per core",
            parse=whole_numbers("threads", 1024),
        ),
    ] = None
    seconds: Annotated[
        float,
        Flag(
            f"seconds to measure the rate, and again the latency, in each of {ROUNDS} rounds",
            group=_MEASURED,
            check=positive,
        ),
    ] = 0.3

    def __post_init__(self) -> None:
        check(self)

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes: of one image for a latency, larger ones too where only the rate counts."""
        if self.batch is not None:
            return self.batch
        throughput = self.budget.fps is not None or self.budget.energy is not None
        return (1, 8, 32) if throughput and self.budget.latency is None else (1,)

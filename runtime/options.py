"""What bench and cache can be asked for."""

# Annotations are not postponed: those of flags would be compiled at every start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.runtime.flags import Flag


@dataclass(frozen=True)
class BenchOptions:
    """What `gantool bench` measures."""

    files: Annotated[
        tuple[Path, ...],
        Flag("graphs and plans", metavar="[FILES]...", shown="all g.* that run here", argument=True),
    ] = ()
    batch: Annotated[str, Flag("batch sizes, separated by commas", metavar="SIZES")] = "1,8,32"
    provider: Annotated[
        str,
        Flag("what runs graphs: as in gantool generate, or several separated by commas", metavar="NAMES"),
    ] = "auto"
    seconds: Annotated[float, Flag("time for the rate, and again for the latency")] = 2.0
    threads: Annotated[
        int | None, Flag("threads that run a graph on the CPU", "--engine-threads", shown="one a core")
    ] = None
    json: Annotated[bool, Flag("print JSON")] = False


@dataclass(frozen=True)
class CacheOptions:
    """What `gantool cache` shows or removes."""

    kind: Annotated[
        str | None,
        Flag(
            "data, features, speed, kernels, graphs or errors",
            metavar="[KIND]",
            shown="all",
            argument=True,
        ),
    ] = None
    clear: Annotated[bool, Flag("remove it; it is made again when needed")] = False
    json: Annotated[bool, Flag("print JSON")] = False

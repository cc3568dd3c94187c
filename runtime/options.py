"""The options of `gantool bench` and `gantool cache`."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, check


def _sizes(text: str) -> list[int]:
    """Parse `1,8,32`."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part[:9]) > 0 and len(part) < 6 for part in parts):
        raise UsageError(f"`batch` {text}: write whole numbers from 1 to 99999, as in 1,8,32")
    return [int(part) for part in parts]


def _at_most_an_hour(seconds: float) -> str:
    return "" if 0 < seconds <= 3600 else "give a number above 0, at most 3600"


@dataclass(frozen=True)
class BenchOptions:
    """The options of `gantool bench`."""

    files: Annotated[
        tuple[Path, ...],
        Flag("graphs and plans", metavar="[FILES]...", shown="all g.* that run here", argument=True),
    ] = ()
    batch: Annotated[
        tuple[int, ...], Flag("batch sizes, separated by commas", metavar="SIZES", parse=_sizes)
    ] = (1, 8, 32)
    provider: Annotated[
        tuple[str, ...],
        Flag(
            "provider of graphs, as in gantool generate; or several, separated by commas",
            metavar="NAMES",
            parse=lambda text: text.split(","),
        ),
    ] = ("auto",)
    seconds: Annotated[
        float, Flag("seconds to measure the rate, and again the latency", check=_at_most_an_hour)
    ] = 2.0
    threads: Annotated[
        int | None, Flag("threads that run a graph on the CPU", "--engine-threads", shown="one per core")
    ] = None
    json: Annotated[bool, Flag("print JSON")] = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CacheOptions:
    """The options of `gantool cache`."""

    kind: Annotated[
        str | None,
        Flag(
            "data, features, speed, kernels, graphs or errors",
            metavar="[KIND]",
            shown="all",
            argument=True,
        ),
    ] = None
    clear: Annotated[bool, Flag("remove these files; gantool makes them again when needed")] = False
    json: Annotated[bool, Flag("print JSON")] = False

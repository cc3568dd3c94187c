"""What is measured, and the figures of it that a budget limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from gantool.runtime.tune.units import SIZES, size_text


@dataclass(frozen=True)
class Candidate:
    """A graph or a plan that can be measured."""

    file: Path  # where it is now, perhaps in a temporary folder
    name: str  # in tables
    source: str  # what it was made from, as the user wrote it
    suffix: str  # of a copy of it, as ".int8.onnx"
    make: str | None = (
        None  # the command that makes it again, without its -o; None: it is the user's own file
    )


@dataclass(frozen=True)
class Row:
    """The figures of a file with one provider, number of threads and batch size: medians of the rounds."""

    candidate: Candidate
    provider: str
    threads: int | None  # of a graph on the CPU; None: one per core
    batch: int
    runs_on: str
    ms: float  # half of the single batches are done within this time
    p90: float  # milliseconds
    rounds: tuple[float, ...]  # `ms` of each round
    images_per_second: float  # of batches in a row
    mj_per_image: float | None  # None without a meter
    bytes: int  # of the file
    quality: float | None = None  # None: it could not be compared

    @property
    def where(self) -> str:
        """What runs it, as "ONNX Runtime, CPU, 2 threads"."""
        if self.threads is None:
            return self.runs_on
        return f"{self.runs_on}, {self.threads} thread{'' if self.threads == 1 else 's'}"

    def command(self, file: Path) -> str:
        """Return the gantool generate command that runs a copy of the file as it was measured."""
        provider = "" if self.provider == "auto" else f" --provider {self.provider}"
        threads = f" --engine-threads {self.threads}" if self.threads else ""
        return f"gantool generate --engine {quote(str(file))} --batch {self.batch}{provider}{threads}"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the figures."""
        found = asdict(self)
        del found["candidate"]
        return {
            "file": self.candidate.name,
            "source": self.candidate.source,
            "make": self.candidate.make,
            **found,
        }


@dataclass(frozen=True)
class Figure:
    """A figure that a budget limits."""

    option: str  # its field in Budget
    of: Callable[[Row], float | None]
    text: Callable[[float], str]
    more: bool = False  # more is better

    def excess(self, row: Row, limit: float) -> float:
        """Return how often a row needs what it may: up to 1, it keeps to the limit."""
        value = self.of(row)
        if not value:
            return float("inf")
        return limit / value if self.more else value / limit


FIGURES = (
    Figure("latency", lambda row: row.ms, lambda value: f"{value:.3g} ms"),
    Figure("fps", lambda row: row.images_per_second, lambda value: f"{value:,.0f} images/s", more=True),
    Figure("energy", lambda row: row.mj_per_image, lambda value: f"{value:.3g} mJ an image"),
    Figure("size", lambda row: row.bytes / SIZES["MB"], lambda value: size_text(value * SIZES["MB"])),
)

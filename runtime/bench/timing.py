"""The results of `gantool bench`: a `Timing` for each file, provider and batch size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of the duration of single runs, in milliseconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Timing:
    """The speed of one engine with one batch size."""

    file: Path
    provider: str  # as requested, so it can be auto
    batch: int
    images_per_second: float  # of batches in a row, as `gantool generate` runs them
    ms: Percentiles  # latency of one batch
    compute_ms: Percentiles | None  # the same without copies, by the GPU's clock; None without a GPU
    runs: int  # single runs, which the latencies are computed from
    watts: float | None  # None without a meter
    mj_per_image: float | None
    doubts: tuple[str, ...]  # reasons to measure again
    runs_on: str  # the library and device, as "ONNX Runtime, CPU"
    start_seconds: float  # from the start of the process to its first image
    peak_bytes: int | None  # of host memory
    meter: str  # the parts of the machine whose energy was counted; "" without a meter
    no_meter: str  # why there is none; ""

    @classmethod
    def from_json(cls, file: Path, provider: str, row: dict[str, Any]) -> Timing:
        """Return the timing from a row that gantool.runtime.bench.measure printed."""
        ms, compute = Percentiles(**row.pop("ms")), row.pop("compute_ms")
        of_gpu = Percentiles(**compute) if compute else None
        return cls(file, provider, ms=ms, compute_ms=of_gpu, doubts=tuple(row.pop("doubts")), **row)

    def command(self, threads: int | None) -> str:
        """Return the gantool generate command with the engine, provider and batch size of this timing."""
        provider = "" if self.provider == "auto" else f" --provider {self.provider}"
        on_cpu = self.runs_on.startswith(("ONNX", "OpenVINO"))
        limited = f" --engine-threads {threads}" if threads and on_cpu else ""
        return f"gantool generate --engine {quote(str(self.file))} --batch {self.batch}{provider}{limited}"


@dataclass(frozen=True)
class Bench:
    """The timings of all engines."""

    timings: tuple[Timing, ...]
    threads: int | None  # of graphs on the CPU, as requested
    warnings: tuple[str, ...]  # reasons to doubt the figures
    exit_code: int  # of the first engine that did not run; 0 if all ran
    machine: dict[str, Any] = field(default_factory=dict)  # processor, cores and so on, for a report

    @property
    def fastest(self) -> str | None:
        """The gantool generate command of the fastest timing."""
        best = max(self.timings, key=lambda timing: timing.images_per_second, default=None)
        return None if best is None else best.command(self.threads)

    @property
    def energy(self) -> tuple[str, ...]:
        """What the energy is that of, or why it was not measured; a sentence for each meter."""
        return energy_of(self.timings)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that `gantool bench --json` prints."""
        rows = [{**asdict(timing), "file": str(timing.file)} for timing in self.timings]
        return {
            "rows": rows,
            "fastest": self.fastest,
            "warnings": list(self.warnings),
            "machine": self.machine,
        }


def energy_of(timings: Iterable[Timing]) -> tuple[str, ...]:
    """Return what the energy of timings is that of, or why it was not measured; a sentence for each meter."""
    sentences = (
        f"Energy is that of {one.meter}, other programs included"
        if one.meter
        else f"Energy was not measured: {one.no_meter}"
        for one in timings
    )
    return tuple(dict.fromkeys(sentences))


def row(timing: Timing, width: int) -> str:
    """Return a timing as a row of the table, whose first column has `width` characters."""
    line = f"{timing.file!s:{width}}  {timing.runs_on:24} {timing.batch:>5} {timing.images_per_second:>9.1f}"
    line += "".join(f" {ms:>8.3f}" for ms in (timing.ms.p50, timing.ms.p90, timing.ms.p99))
    line += f" {timing.compute_ms.p50:>8.3f}" if timing.compute_ms else f" {'-':>8}"
    peak = "-" if timing.peak_bytes is None else f"{timing.peak_bytes / 2**20:.0f} MiB"
    line += f" {timing.start_seconds:>5.2f} s {peak:>8}"
    return line + (f" {timing.watts:>6.2f} {timing.mj_per_image:>7.2f}" if timing.watts is not None else "")


def heading(first: Timing, width: int) -> str:
    """Return the heading of the table, whose first column has `width` characters."""
    names = f"{'engine':{width}}  {'runs on':24} {'batch':>5} {'images/s':>9}"
    names += f" {'p50 ms':>8} {'p90':>8} {'p99':>8} {'compute':>8} {'start':>7} {'memory':>8}"
    return names + (f" {'W':>6} {'mJ/img':>7}" if first.watts is not None else "")

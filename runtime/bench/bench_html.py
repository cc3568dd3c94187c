"""The report of `gantool bench --html`: the rate by batch, the latencies, the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gantool.runtime import machine
from gantool.runtime.bench.timing import Bench, Timing
from gantool.runtime.web import report
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg

NUMBERS = ("batch", "images/s", "of the first", "p50", "p90", "p99", "compute", "start", "memory")
POWER = ("watts", "mJ/image")


def write(found: Bench, path: Path) -> None:
    """Write the report of a measurement."""
    parts = [_lead(found), report.notes(found.warnings)]
    if found.timings:
        parts += [_charts(found), _table(found)]
    parts.append(_machine(found))
    report.write(path, "Speed of engines", parts)


def _lead(found: Bench) -> str:
    best = max(found.timings, key=lambda timing: timing.images_per_second, default=None)
    if best is None or found.fastest is None:
        return report.verdict(False, "No engine ran")
    text = (
        f"The fastest is {best.file} in batches of {best.batch}, by {best.runs_on}: "
        f"{best.images_per_second:,.0f} images/s."
    )
    return report.paragraph(text, "lead") + report.code(found.fastest)


def _charts(found: Bench) -> str:
    ticks = tuple(float(batch) for batch in sorted({timing.batch for timing in found.timings}))
    batch = Axis("batch", log=True, ticks=ticks)
    engines = _by_engine(found)
    rates = [
        Curve(name, [(one.batch, one.images_per_second) for one in timings])
        for name, timings in engines.items()
    ]
    charts = [Chart("Rate of batches in a row", rates, batch, Axis("images/s", zero=True))]
    for name, timings in engines.items():
        curves = [
            Curve(percentile, [(one.batch, getattr(one.ms, percentile)) for one in timings])
            for percentile in ("p50", "p90", "p99")
        ]
        charts.append(Chart(f"Latency of {name}", curves, batch, Axis("ms", log=True)))
    text = (
        "p50, p90, p99: 50, 90 and 99 of 100 single batches, with their copies, are done within this time. A p99 "
        "far above p50 means that other programs ran, or that the machine throttled."
    )
    drawn = report.columns(report.figure(svg(chart)) for chart in charts)
    return report.section("Rate and latency by batch", report.paragraph(text, "quiet"), drawn)


def _by_engine(found: Bench) -> dict[str, list[Timing]]:
    """Return the timings of each file and provider, by batch, under names that tell them apart."""
    several = len({timing.provider for timing in found.timings}) > 1
    engines: dict[str, list[Timing]] = {}
    for timing in sorted(found.timings, key=lambda timing: timing.batch):
        engines.setdefault(f"{timing.file}, {timing.provider}" if several else str(timing.file), []).append(
            timing
        )
    return engines


def _table(found: Bench) -> str:
    power = any(timing.watts is not None for timing in found.timings)
    columns = ("engine", "runs on", *NUMBERS, *(POWER if power else ()))
    text = (
        "images/s: of batches in a row, as gantool generate runs them. Of the first: this rate over that of the "
        "first engine with the same batch. p50, p90, p99: latency of single batches in milliseconds. Compute: p50 "
        "without the copies, by the GPU's clock. Start: from the start of the process to the first image. Memory: "
        "peak of the process on the host."
    )
    table = report.table(columns, _rows(found, power), "Timings", columns[2:])
    energy = report.paragraph(f"{'. '.join(found.energy)}.", "quiet")
    return report.section("All figures", table, report.paragraph(text, "quiet"), energy)


def _rows(found: Bench, power: bool) -> Iterator[tuple[object, ...]]:
    first = found.timings[0]
    of_first = {
        one.batch: one.images_per_second
        for one in reversed(found.timings)
        if (one.file, one.provider) == (first.file, first.provider)
    }
    for one in found.timings:
        base = of_first.get(one.batch)
        yield (
            one.file,
            one.runs_on,
            one.batch,
            f"{one.images_per_second:,.1f}",
            f"{one.images_per_second / base:.2f} ×" if base else "",
            *(f"{value:.3f}" for value in (one.ms.p50, one.ms.p90, one.ms.p99)),
            f"{one.compute_ms.p50:.3f}" if one.compute_ms else "",
            f"{one.start_seconds:.2f} s",
            "" if one.peak_bytes is None else f"{one.peak_bytes / 2**20:.0f} MiB",
            *((_or_nothing(one.watts), _or_nothing(one.mj_per_image)) if power else ()),
        )


def _or_nothing(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _machine(found: Bench) -> str:
    threads = {} if found.threads is None else {"threads of graphs on the CPU": found.threads}
    values = {**machine.system(), **found.machine, **threads, "packages": machine.packages()}
    return report.section("Machine and versions", report.facts(values, "Machine and versions"))

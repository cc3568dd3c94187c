"""The report of `gantool tune --html`: quality over cost, what the front looks like, all figures, the machine."""

from __future__ import annotations

import math
from pathlib import Path

from gantool.runtime import machine
from gantool.runtime.bench.launch import machine as measured_machine
from gantool.runtime.outputs.images import grid
from gantool.runtime.tune.quality import EQUAL, key_of
from gantool.runtime.tune.result import Tuned
from gantool.runtime.tune.rows import FIGURES, Figure, Row
from gantool.runtime.web import report
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg
from gantool.runtime.web.pictures import picture

COLUMNS = ("batch", "ms", "p90", "images/s", "size")
LABELS = {"latency": "ms", "fps": "images/s", "energy": "mJ an image", "size": "MB"}
SHOWN = 8  # rows of the front whose images are shown


def write(found: Tuned, commands: list[str], path: Path) -> None:
    """Write the report. `commands`: those that make and run the best; [] if nothing fits, or without a budget."""
    parts = [
        _lead(found, commands),
        report.notes(found.warnings),
        _charts(found),
        _looks(found),
        _table(found),
    ]
    values = {**machine.system(), **measured_machine(), "packages": machine.packages()}
    parts.append(report.section("Machine and versions", report.facts(values, "Machine and versions")))
    report.write(path, "Quality and cost on this machine", parts)


def _lead(found: Tuned, commands: list[str]) -> str:
    if not found.budget:
        text = f"{len(found.front)} of {len(found.rows)} rows are not beaten by another one."
        return report.paragraph(text, "lead")
    asked = " and ".join(
        f"at {'least' if figure.more else 'most'} {figure.text(limit)}" for figure, limit in found.limits
    )
    if found.budget.quality is not None:
        good = f"{found.scale.title} {found.scale.text(found.budget.quality)} or better"
        asked = f"{asked} and {good}" if asked else good
    if found.best is None:
        return report.verdict(False, f"Nothing keeps to the budget of {asked}")
    best = f"{found.best.candidate.name} by {found.best.where}, batch {found.best.batch}"
    return report.verdict(True, f"With {asked}, the best is {best}") + "".join(map(report.code, commands))


def _charts(found: Tuned) -> str:
    """Draw the quality over what decides, and over each other figure that is limited."""
    figures = {figure.option: figure for figure in (found.cost, *(figure for figure, _ in found.limits))}
    text = f"Each dot is a file with a provider, a number of threads and a batch size. {found.scale.about}."
    drawn = [report.figure(svg(_chart(found, figure, len(figures) == 1))) for figure in figures.values()]
    front = "Along the front, what is better costs more."
    return report.section(
        "Quality and cost",
        report.paragraph(text, "quiet"),
        report.columns(drawn),
        report.paragraph(front, "quiet"),
    )


def _chart(found: Tuned, figure: Figure, alone: bool) -> Chart:
    scale, label = found.scale, LABELS[figure.option]
    sources: dict[str, list[tuple[float, float]]] = {}
    for row in found.rows:
        sources.setdefault(row.candidate.source, []).extend(_point(found, figure, row))
    curves = [Curve(name, points, "dots") for name, points in sources.items()]
    front = [point for row in found.front for point in _point(found, figure, row)]
    curves.append(Curve("the front", front, "line" if alone else "dots"))
    limit = getattr(found.budget, figure.option)
    qualities = [quality for points in sources.values() for _, quality in points]
    if limit is not None and qualities:
        curves.append(Curve("the budget", [(limit, min(qualities)), (limit, max(qualities))]))
    asked = found.budget.quality
    limits = () if asked is None else ((asked, f"{'at least' if scale.more else 'at most'} {asked:g}"),)
    y = Axis("dB", infinity="equal") if scale.more else Axis(scale.title)
    return Chart(f"{scale.title} over {label}", curves, Axis(label, log=True), y, limits)


def _point(found: Tuned, figure: Figure, row: Row) -> list[tuple[float, float]]:
    value, quality = figure.of(row), row.quality
    if value is None or quality is None:
        return []
    return [(value, math.inf if found.scale.more and quality >= EQUAL else quality)]


def _looks(found: Tuned) -> str:
    """Show the same seeds by each file of the front."""
    cards = []
    shown = dict.fromkeys(map(key_of, found.front))
    names = {key_of(row): row.candidate.name for row in found.front}
    texts = {key_of(row): f"{found.scale.title} {found.scale.text(row.quality)}" for row in found.front}
    for key in [key for key in shown if key in found.judged.samples][:SHOWN]:
        images = found.judged.samples[key]
        sheet = picture(grid(images, 5), f"The first {len(images)} seeds by {names[key]}")
        cards.append(report.card(names[key], report.figure(sheet, texts[key])))
    text = "The same seeds by each file of the front, the cheapest first."
    return report.section(
        "What it looks like", report.paragraph(text, "quiet"), report.columns(cards, "small")
    )


def _table(found: Tuned) -> str:
    front, size = set(map(id, found.front)), FIGURES[-1]
    energy = any(row.mj_per_image is not None for row in found.rows)
    rows = [
        (
            row.candidate.name,
            row.where,
            row.batch,
            f"{row.ms:.3f}",
            f"{row.p90:.3f}",
            f"{row.images_per_second:,.1f}",
            size.text(size.of(row) or 0.0),
            *(("" if row.mj_per_image is None else f"{row.mj_per_image:.2f}",) if energy else ()),
            found.scale.text(row.quality),
            "the best" if row is found.best else "front" if id(row) in front else "",
        )
        for row in found.rows
    ]
    numbers = (*COLUMNS, *(("mJ/image",) if energy else ()), found.scale.title)
    columns = ("file", "runs on", *numbers, "")
    text = (
        "ms: half of the single batches are done within this time, with their copies; p90: 90 of 100. images/s: "
        "of batches in a row. Figures are medians of rounds, in which the files took turns. "
        f"{'. '.join(found.energy)}."
    )
    table = report.table(columns, rows, "All figures", numbers)
    return report.section("All figures", table, report.paragraph(text, "quiet"))

"""The page of `gantool plot`: the film of the samples, and the curves beside it."""

from __future__ import annotations

from pathlib import Path

from gantool.runtime.web import report
from gantool.runtime.web.charts import Chart, svg
from gantool.runtime.web.film import Frame, film, script

FRAMES = 60  # sheets of samples in the film, so that a long run makes a page of some megabytes


def write(path: Path, title: str, charts: list[Chart], sheets: list[tuple[float, Path]]) -> None:
    """Write charts and the film of the sheets, given with their kimg, as a page."""
    curves = report.section("Curves", report.columns(report.figure(svg(chart)) for chart in charts))
    if not sheets:
        report.write(path, title, [curves])
        return
    frames = [Frame(sheet, f"{kimg:g} kimg", kimg) for kimg, sheet in sheets]
    samples = report.section(
        "Samples",
        report.paragraph(
            "Images of the same seeds as training went on. 1 kimg is 1,000 training images shown.", "quiet"
        ),
        film(frames, "Images of the same seeds over the run"),
    )
    report.write(path, title, [report.beside(samples, curves)], script())

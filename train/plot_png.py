"""The PNG of `gantool plot`: Matplotlib draws it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantool.runtime.errors import MissingDependencyError
from gantool.runtime.files import atomic
from gantool.runtime.web.charts import COLOURS, Chart

SHEETS = 8  # sheets of samples shown
# Rows of three charts, then a row of samples. In inches: its width, and the heights of these rows.
COLUMNS = 3
INCHES, ROW, STRIP = 14.0, 3.1, 2.2
DPI = 140


def write(path: Path, title: str, charts: list[Chart], sheets: list[tuple[float, Path]]) -> None:
    """Write charts and sheets as a PNG. Raises MissingDependencyError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependencyError("matplotlib", "plot", "drawing a PNG") from error
    charts = [each for each in charts if any(curve.points for curve in each.curves)]
    rows = math.ceil(len(charts) / COLUMNS)
    heights = [rows * ROW, *([STRIP] if sheets else [])]
    figure = Figure((INCHES, sum(heights) + 0.4), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontweight="bold")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    upper, *lower = parts.ravel().tolist()
    places = upper.subplots(rows, COLUMNS, squeeze=False).ravel()
    for place, each in zip(places, charts, strict=False):
        _draw(place, each)
    for place in places[len(charts) :]:
        place.set_axis_off()
    for strip in lower:
        columns = strip.subplots(1, len(sheets), squeeze=False).ravel()
        for place, (kimg, sheet) in zip(columns, sheets, strict=True):
            with Image.open(sheet) as image:
                place.imshow(np.asarray(image.convert("RGB")), interpolation="antialiased")  # [H, W, 3]
            place.set_title(f"{kimg:g} kimg", fontsize=9)
            place.set_axis_off()
    with atomic(path) as part:
        figure.savefig(part, format="png")


def _draw(place: Any, chart: Chart) -> None:
    """Draw a chart on Matplotlib's axes."""
    from matplotlib.ticker import StrMethodFormatter

    for index, curve in enumerate(chart.curves):
        if curve.points:
            marker = "o" if len(curve.points) < 20 else ""  # a single point has no line to draw
            x, y = zip(*curve.points, strict=True)
            place.plot(x, y, marker=marker, markersize=3, color=COLOURS[index], label=curve.name)
    place.set_title(chart.title, loc="left", pad=20, fontsize=11)
    place.set(xlabel=chart.x.label, ylabel=chart.y.label, yscale="log" if chart.y.log else "linear")
    if chart.y.log:  # 200, not 2 × 10²
        for axis_format in (place.yaxis.set_major_formatter, place.yaxis.set_minor_formatter):
            axis_format(StrMethodFormatter("{x:g}"))
    place.grid(alpha=0.3)
    # the legend is between title and chart, so that it covers no curve
    place.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=4, frameon=False, fontsize=8)

"""The PNG of `gantool plot`: charts three to a row, and below them sheets of samples over time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from gantool.runtime.errors import MissingDependencyError
from gantool.train.plot import COLOURS, Chart, caption

COLUMNS = 3
WIDTH, CHART, STRIP = 14.0, 3.1, 2.2  # inches: of the picture, height of a row of charts and of the samples
DPI = 140


def draw(target: Path, title: str, charts: list[Chart], sheets: list[Path]) -> None:
    """Write a PNG to `target`, whatever its suffix. Raises MissingDependencyError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import StrMethodFormatter
    except ModuleNotFoundError as error:
        raise MissingDependencyError("matplotlib", "plot", "drawing a PNG") from error
    charts = [each for each in charts if any(curve.points for curve in each.curves)]
    rows = math.ceil(len(charts) / COLUMNS)
    heights = [rows * CHART, *([STRIP] if sheets else [])]
    figure = Figure((WIDTH, sum(heights) + 0.4), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontweight="bold")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    upper, *lower = parts.ravel().tolist()
    places = upper.subplots(rows, COLUMNS, squeeze=False).ravel()
    for place, each in zip(places, charts, strict=False):
        for index, curve in enumerate(each.curves):
            if curve.points:
                marker = "o" if len(curve.points) < 20 else ""  # a single point has no line
                x, y = zip(*curve.points, strict=True)
                place.plot(x, y, marker=marker, markersize=3, color=COLOURS[index], label=curve.name)
        place.set_title(each.title, loc="left", pad=20, fontsize=11)
        place.set(xlabel="kimg", ylabel=each.unit, yscale="log" if each.log else "linear")
        if each.log:  # 200, not 2 × 10²
            for axis_format in (place.yaxis.set_major_formatter, place.yaxis.set_minor_formatter):
                axis_format(StrMethodFormatter("{x:g}"))
        place.grid(alpha=0.3)
        # between title and chart, where no curve runs
        place.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=4, frameon=False, fontsize=8)
    for place in places[len(charts) :]:
        place.set_axis_off()
    for strip in lower:
        for place, sheet in zip(strip.subplots(1, len(sheets), squeeze=False).ravel(), sheets, strict=True):
            with Image.open(sheet) as image:
                place.imshow(np.asarray(image.convert("RGB")), interpolation="antialiased")  # [H, W, 3]
            place.set_title(caption(sheet), fontsize=9)
            place.set_axis_off()
    figure.savefig(target, format="png")

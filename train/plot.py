"""`gantool plot`: draw the curves of a run and its samples over time, as a self-contained HTML file or a PNG.

The HTML needs no library: this module writes its charts as SVG. Matplotlib draws the PNG.
"""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.files import atomic
from gantool.train.requests import PlotOptions
from gantool.train.run_dir import STATS_NAME, fakes_kimg, named_or_newest, number, records

COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c")
SHEETS = 8  # sheets of samples shown
# The size and margins of a chart in the HTML, in pixels.
WIDTH, HEIGHT = 560, 260
LEFT, BOTTOM, TOP, RIGHT = 56, 34, 30, 14
# The PNG: rows of three charts, then a row of samples. In inches: its width, and the heights of these rows.
COLUMNS = 3
INCHES, ROW, STRIP = 14.0, 3.1, 2.2
DPI = 140

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A line of a chart."""

    name: str
    points: Points


@dataclass(frozen=True)
class Chart:
    """Curves over kimg, thousands of real images shown."""

    title: str
    unit: str  # of the values
    curves: list[Curve]
    log: bool = False  # values on a logarithmic scale


def plot(options: PlotOptions) -> Path:
    """Draw a run folder into a .html or .png; return its path.

    Raises GantoolError for a folder that is not a run, and MissingDependencyError for a PNG without Matplotlib.
    """
    run = named_or_newest(options.run, STATS_NAME)
    target = options.out or run / "plot.html"
    if target.suffix.lower() not in (".html", ".htm", ".png"):
        raise UsageError(f"`out` {target}: give a name that ends in .html or .png, as in curves.png")
    charts, sheets = _charts(run), _sheets(run)
    with atomic(target) as part:
        if target.suffix.lower() == ".png":
            _png(part, run.name, charts, sheets)
        else:
            part.write_text(_page(run.name, charts, sheets), encoding="utf-8")
    return target


def _charts(run: Path) -> list[Chart]:
    """Return the charts of a run. Curves may have no points. Raises GantoolError for a folder without ticks."""
    if not (run / STATS_NAME).is_file():
        raise GantoolError(f"{run} holds no {STATS_NAME}: give the folder of a run, as runs/00000-...")
    stats = [line for line in records(run / STATS_NAME) if number(line.get("kimg")) is not None]
    if not stats:
        raise GantoolError(f"{run / STATS_NAME} has no tick yet: wait for the first one, or train on")
    shares = {"right": "discriminator accuracy", "augment_p": "augmentation", "data_wait": "waiting for data"}
    charts = [
        _chart("losses", "loss", stats, {"loss_d": "discriminator", "loss_g": "generator"}),
        _chart("shares", "share, 0 to 1", stats, shares),
        _chart("mean sign of the logits of real images", "-1 to 1", stats, {"real_sign": "sign"}),
        _chart("seconds per kimg", "s/kimg", stats, {"sec_per_kimg": "seconds"}),
    ]
    for path in sorted(run.glob("metric-*.jsonl")):
        measured = [line for line in records(path) if "seconds" in line]  # without lines of gantool evaluate
        by = path.stem.removeprefix("metric-")
        names = {name: name for name in ("precision", "recall", "diversity", "copies")}
        charts.append(_chart(f"Fréchet distance, {by}", "distance", measured, {"fd": "distance"}, log=True))
        charts.append(_chart(by, "share, or ratio to the data", measured, names))
    return charts


def _sheets(run: Path) -> list[Path]:
    """Return at most SHEETS sheets of samples, evenly spaced over the run, with the first and the last."""
    sheets = sorted((path for path in run.glob("fakes*.png") if fakes_kimg(path) is not None), key=_kimg)
    if not sheets:
        return []
    places = (round(index * (len(sheets) - 1) / (SHEETS - 1)) for index in range(SHEETS))
    return [sheets[place] for place in dict.fromkeys(places) if _readable(sheets[place])]


def _kimg(sheet: Path) -> float:
    return fakes_kimg(sheet) or 0.0


def _readable(sheet: Path) -> bool:
    try:
        with Image.open(sheet) as image:
            image.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ):  # Pillow's errors for a damaged file
        return False
    return True


def _page(name: str, charts: list[Chart], sheets: list[Path]) -> str:
    title = html.escape(name)
    drawn = "".join(chart(f"{each.title} by kimg", each.curves, log=each.log) for each in charts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:15px system-ui;margin:24px}figure{display:inline-block;margin:8px}"
        "img{width:256px;image-rendering:pixelated}</style>"
        f"<h1>{title}</h1>{drawn}<h2>Samples</h2>{''.join(map(_figure, sheets))}</html>\n"
    )


def chart(title: str, curves: list[Curve], *, log: bool = False) -> str:
    """Return curves as an SVG image; with `log`, on a logarithmic scale."""
    curves = [Curve(curve.name, [(x, y) for x, y in curve.points if math.isfinite(y)]) for curve in curves]
    points = [point for curve in curves for point in curve.points] or [(0.0, 1.0)]
    scale = (lambda y: math.log10(max(y, 1e-6))) if log else (lambda y: y)
    right = max(x for x, _ in points) or 1.0
    low, high = min(scale(y) for _, y in points), max(scale(y) for _, y in points)
    low, high = (low if log else min(low, 0.0)), (high if high > low else low + 1)

    def place(x: float, y: float) -> str:
        return f"{_x(x / right):.1f},{_y((scale(y) - low) / (high - low)):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="18" '
        f'font-weight="600">{html.escape(title)}</text>'
    ]
    for step in range(5):
        share = step / 4
        level = low + share * (high - low)
        label = f"{10**level if log else level:.3g}"
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(share):.1f}" y2="{_y(share):.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{_y(share) + 4:.1f}" text-anchor="end">{label}</text>'
            f'<text x="{_x(share):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{share * right:.4g}</text>'
        )
    for index, curve in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        line = " ".join(place(x, y) for x, y in curve.points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
            f'<text x="{WIDTH - RIGHT}" y="{TOP + 14 + 15 * index}" text-anchor="end" fill="{colour}">'
            f"{html.escape(curve.name)}</text>"
        )
    return "".join(parts) + "</svg>"


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _chart(
    title: str, unit: str, lines: list[dict[str, Any]], names: dict[str, str], *, log: bool = False
) -> Chart:
    """Return a chart with a curve for each key of `names`, which maps keys of `lines` to names of curves."""
    curves = [
        Curve(name, _points([(line.get("kimg"), line.get(key)) for line in lines]))
        for key, name in names.items()
    ]
    return Chart(title, unit, curves, log)


def _points(values: list[tuple[object, object]]) -> Points:
    """Return the pairs in which both values are numbers."""
    pairs = [(number(x), number(y)) for x, y in values]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def caption(sheet: Path) -> str:
    """Return the kimg of a sheet of samples, from its name."""
    return f"{_kimg(sheet):g} kimg"


def _figure(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}"><figcaption>{caption(path)}</figcaption></figure>'
    )


def _png(target: Path, title: str, charts: list[Chart], sheets: list[Path]) -> None:
    """Write a PNG to `target`, which may have any suffix. Raises MissingDependencyError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import StrMethodFormatter
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
        for index, curve in enumerate(each.curves):
            if curve.points:
                marker = "o" if len(curve.points) < 20 else ""  # a single point has no line to draw
                x, y = zip(*curve.points, strict=True)
                place.plot(x, y, marker=marker, markersize=3, color=COLOURS[index], label=curve.name)
        place.set_title(each.title, loc="left", pad=20, fontsize=11)
        place.set(xlabel="kimg", ylabel=each.unit, yscale="log" if each.log else "linear")
        if each.log:  # 200, not 2 × 10²
            for axis_format in (place.yaxis.set_major_formatter, place.yaxis.set_minor_formatter):
                axis_format(StrMethodFormatter("{x:g}"))
        place.grid(alpha=0.3)
        # the legend is between title and chart, so that it covers no curve
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

"""Charts as SVG, for the reports: they follow the page's colours, and stand alone on white."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gantool.runtime.process.terminal import short
from gantool.runtime.web.axis import Axis, Scale, scale_of
from gantool.runtime.web.text import escape

# Of curves, on white; in the dark report.css has brighter ones. Common colour blindness tells them apart.
COLOURS = ("#1f5fd0", "#c2410c", "#1a7f37", "#862e9c", "#8a6d00", "#0e7490")
DASHES = ("none", "7 3", "2 3")  # of curves beyond the colours
_LIMIT, DASHED = "var(--bad,#b42318)", "5 4"
BINS = 40  # of a histogram

# In units of the picture, which is as wide as the page allows.
WIDTH, PLOT = 420, 180
LEFT, RIGHT, BELOW = 52, 16, 42
TITLE, LEGEND = 26, 18  # heights of the title and of a row of the legend
LETTER, SWATCH = 6.6, 24  # widths in the legend
LONGEST = 48  # letters of a name
MANY = 40  # with more points, a line has no dots

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """Points of a chart, drawn as a line, as dots, or as an area down to the axis."""

    name: str
    points: Points
    kind: Literal["line", "dots", "area"] = "line"


@dataclass(frozen=True)
class Chart:
    """Curves over two axes."""

    title: str
    curves: Sequence[Curve]
    x: Axis
    y: Axis
    limits: tuple[tuple[float, str], ...] = ()  # dashed lines across, with their names


@dataclass(frozen=True)
class _Entry:
    """A name in the legend."""

    x: int  # where it starts
    name: str
    colour: str
    dash: str


def histogram(title: str, label: str, groups: Mapping[str, Sequence[float]]) -> Chart:
    """Return the shares of values by group, in bins that all groups have in common."""
    found = {name: np.asarray(values, np.float64) for name, values in groups.items()}
    found = {name: values[np.isfinite(values)] for name, values in found.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(found.values())), BINS)
    curves = []
    for name, values in found.items():
        heights = np.histogram(values, edges)[0] / max(len(values), 1)
        # each bin is a step: from its left edge to its right one at one height
        steps = zip(edges.repeat(2)[1:-1].tolist(), heights.repeat(2).tolist(), strict=True)
        curves.append(Curve(name, list(steps), "area"))
    return Chart(title, curves, Axis(label), Axis("share of images", zero=True))


def svg(chart: Chart) -> str:
    """Return a chart as an SVG image with a text alternative."""
    curves = [replace(curve, points=_shown(curve.points, chart.y)) for curve in chart.curves]
    points = [point for curve in curves for point in curve.points]
    x = scale_of(chart.x, [point[0] for point in points])
    y = scale_of(chart.y, [*(point[1] for point in points), *(limit for limit, _ in chart.limits)])
    rows = _legend_rows(chart)
    top = TITLE + LEGEND * len(rows) + 8
    height = top + PLOT + BELOW
    drawn = (
        "".join(_drawn(curve, at, x, y, top) for at, curve in enumerate(curves)) if points else _empty(top)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12" '
        f'{_coloured("fill", "text", "#16181d")} data-x="{x.low:g} {x.high:g} {LEFT} {WIDTH - RIGHT}">'
        f"<title>{escape(_alternative(chart, curves))}</title>"
        f'<rect width="100%" height="100%" {_coloured("fill", "ground", "#fff")}/>'
        f'<text x="0" y="15" font-size="13" font-weight="600">{escape(short(chart.title, 60))}</text>'
        f"{_legend(rows)}{_axes(chart, x, y, top)}{drawn}{_limits(chart, y, top)}"
        f'<line class="now" y1="{top}" y2="{top + PLOT}" {_coloured("stroke", "text", "#16181d")} '
        f'visibility="hidden"/></svg>'
    )


def _shown(points: Points, y: Axis) -> Points:
    return [point for point in points if math.isfinite(point[1]) or (y.infinity and point[1] == math.inf)]


def _alternative(chart: Chart, curves: Sequence[Curve]) -> str:
    """Return what a reader who sees no picture should know: where each curve starts and ends, and its range."""
    parts = []
    for curve in curves:
        if not curve.points:
            parts.append(f"{curve.name}: no values")
            continue
        values = [y for _, y in curve.points]
        where = f"{_number(min(values), chart.y)} to {_number(max(values), chart.y)}"
        ends = "" if curve.kind != "line" else f", at the end {_number(values[-1], chart.y)}"
        parts.append(f"{curve.name}: {where}{ends}")
    return f"{chart.title}, {chart.y.label} over {chart.x.label}. {'; '.join(parts)}"


def _number(value: float, axis: Axis) -> str:
    return axis.infinity if math.isinf(value) else f"{value:.4g}"


def _coloured(attribute: str, token: str, otherwise: str) -> str:
    """Return a style with a colour of the page, and another where the chart stands alone."""
    return f'style="{attribute}:var(--{token},{otherwise})"'


def _dash(at: int) -> str:
    return DASHES[at // len(COLOURS) % len(DASHES)]


def _colour(at: int) -> str:
    number = at % len(COLOURS)
    return f"var(--curve-{number},{COLOURS[number]})"


def _legend_rows(chart: Chart) -> list[list[_Entry]]:
    """Return the names of curves and limits in rows, with where each starts."""
    named = [(curve.name, _colour(at), _dash(at)) for at, curve in enumerate(chart.curves)]
    named += [(name, _LIMIT, DASHED) for _, name in chart.limits]
    rows: list[list[_Entry]] = []
    end = math.inf
    for name, colour, dash in named:
        width = SWATCH + LETTER * min(len(name), LONGEST) + 12
        if end + width > WIDTH:
            rows.append([])
            end = 0.0
        rows[-1].append(_Entry(round(end), short(name, LONGEST), colour, dash))
        end += width
    return rows


def _legend(rows: list[list[_Entry]]) -> str:
    parts: list[str] = []
    for number, row in enumerate(rows):
        y = TITLE + LEGEND * number + 10
        parts += (
            f'<line x1="{entry.x}" x2="{entry.x + 17}" y1="{y - 4}" y2="{y - 4}" stroke-width="3" '
            f'stroke-dasharray="{entry.dash}" style="stroke:{entry.colour}"/>'
            f'<text x="{entry.x + SWATCH}" y="{y}">{escape(entry.name)}</text>'
            for entry in row
        )
    return "".join(parts)


def _axes(chart: Chart, x: Scale, y: Scale, top: int) -> str:
    quiet, line = _coloured("fill", "quiet", "#5b6270"), _coloured("stroke", "line", "#d5d9e0")
    parts = [f"<g {quiet}>"]
    for share, label in y.ticks():
        at = _y(share, top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" {line}/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    for share, label in x.ticks():
        parts.append(f'<text x="{_x(share):.1f}" y="{top + PLOT + 17}" text-anchor="middle">{label}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{top + PLOT + 34}" text-anchor="middle">{escape(chart.x.label)}</text>'
        f'<text transform="translate(10 {top + PLOT / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.y.label)}</text></g>"
    )
    return "".join(parts)


def _empty(top: int) -> str:
    quiet = _coloured("fill", "quiet", "#5b6270")
    return f'<text x="{LEFT + 12}" y="{top + PLOT / 2:.0f}" {quiet}>no values</text>'


def _drawn(curve: Curve, index: int, x: Scale, y: Scale, top: int) -> str:
    places = [(round(_x(x.share(across)), 1), round(_y(y.share(up), top), 1)) for across, up in curve.points]
    if not places:
        return ""
    colour, dash = f'style="stroke:{_colour(index)}"', _dash(index)
    points = " ".join(f"{across},{up}" for across, up in places)
    line = (
        f'<polyline points="{points}" fill="none" stroke-width="1.8" stroke-linejoin="round" '
        f'stroke-dasharray="{dash}" {colour}/>'
    )
    dots = "".join(f"M{across} {up}h0" for across, up in places)
    dotted = f'<path d="{dots}" fill="none" stroke-width="5" stroke-linecap="round" {colour}/>'
    if curve.kind == "dots":
        return dotted
    if curve.kind == "line":
        return line + (dotted if len(places) <= MANY else "")
    ground, first, last = round(_y(0, top), 1), places[0][0], places[-1][0]
    outline = f"{first},{ground} {points} {last},{ground}"
    return f'<polygon points="{outline}" opacity=".18" style="fill:{_colour(index)}"/>{line}'


def _limits(chart: Chart, y: Scale, top: int) -> str:
    places = [round(_y(y.share(limit), top), 1) for limit, _ in chart.limits]
    return "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" stroke-dasharray="{DASHED}" '
        f'stroke-width="1.5" style="stroke:{_LIMIT}"/>'
        for at in places
    )


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float, top: int) -> float:
    return top + (1 - share) * PLOT

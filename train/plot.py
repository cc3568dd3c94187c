"""`gantool plot`: the curves of a run and its samples over time, as one HTML file or one PNG, with no download."""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.train.run_dir import STATS_NAME, fakes_kimg, named_or_newest, number, records

WIDTH, HEIGHT = 560, 260  # of a chart, in pixels
LEFT, BOTTOM, TOP, RIGHT = 56, 34, 30, 14
COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c")
SHEETS = 8  # samples that are shown

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


def plot(run: Path | None, out: Path | None) -> Path:
    """Draw a run folder (None: the newest); return the file's path, `plot.html` in it unless `out`, perhaps a .png.

    Raises GantoolError for a folder that is no run, and MissingDependencyError for a PNG without Matplotlib.
    """
    run = named_or_newest(run, STATS_NAME)
    target = out or run / "plot.html"
    if target.suffix.lower() not in (".html", ".htm", ".png"):
        raise UsageError(f"--out {target}: give a name that ends in .html or .png, as in curves.png")
    charts, sheets = _charts(run), _sheets(run)
    with atomic(target) as part:
        if target.suffix.lower() == ".png":
            from gantool.train.picture import draw

            draw(part, run.name, charts, sheets)
        else:
            part.write_text(_page(run.name, charts, sheets), encoding="utf-8")
    return target


def _charts(run: Path) -> list[Chart]:
    """Return what there is to draw; a chart may have curves without points."""
    if not (run / STATS_NAME).is_file():
        raise GantoolError(f"{run} holds no {STATS_NAME}: give the folder of a run, as runs/00000-...")
    stats = [line for line in records(run / STATS_NAME) if number(line.get("kimg")) is not None]
    if not stats:
        raise GantoolError(f"{run / STATS_NAME} has no tick yet: wait for the first, or train on")
    shares = {"right": "told rightly", "augment_p": "augmentation", "data_wait": "waiting for data"}
    charts = [
        _chart("losses", "loss", stats, {"loss_d": "discriminator", "loss_g": "generator"}),
        _chart("shares", "share, 0 to 1", stats, shares),
        _chart("mean sign of the logits of real images", "-1 to 1", stats, {"real_sign": "sign"}),
        _chart("seconds per kimg", "s/kimg", stats, {"sec_per_kimg": "seconds"}),
    ]
    for path in sorted(run.glob("metric-*.jsonl")):
        measured = [line for line in records(path) if "seconds" in line]  # not those of gantool evaluate
        by = path.stem.removeprefix("metric-")
        names = {name: name for name in ("precision", "recall", "diversity", "copies")}
        charts.append(_chart(f"Fréchet distance, {by}", "distance", measured, {"fd": "distance"}, log=True))
        charts.append(_chart(by, "share, or ratio to the data", measured, names))
    return charts


def _sheets(run: Path) -> list[Path]:
    """Return sheets of samples, evenly over the run, the first and the last among them."""
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
    ):  # what Pillow makes of a damaged file
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
    """Return curves as an SVG image; with `log` the values are on a logarithmic scale."""
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
    """Return the chart of some keys of the lines."""
    curves = [
        Curve(name, _points([(line.get("kimg"), line.get(key)) for line in lines]))
        for key, name in names.items()
    ]
    return Chart(title, unit, curves, log)


def _points(values: list[tuple[object, object]]) -> Points:
    """Return the pairs that are two numbers."""
    pairs = [(number(x), number(y)) for x, y in values]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def caption(sheet: Path) -> str:
    """Return when a sheet of samples was made, from its name."""
    return f"{_kimg(sheet):g} kimg"


def _figure(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}"><figcaption>{caption(path)}</figcaption></figure>'
    )

"""`gantool plot`: draw the curves of a run and the film of its samples, as a self-contained HTML file or a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.provenance.pictures import ERRORS
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve
from gantool.train import plot_html, plot_png
from gantool.train.requests import PlotOptions
from gantool.train.run_dir import STATS_NAME, fakes_kimg, named_or_newest, number, records

KIMG = Axis("kimg", zero=True)  # thousands of real images shown


def plot(options: PlotOptions) -> Path:
    """Draw a run folder into a .html or .png; return its path.

    Raises GantoolError for a folder that is not a run, and MissingDependencyError for a PNG without Matplotlib.
    """
    run = named_or_newest(options.run, STATS_NAME)
    target = options.out or run / "plot.html"
    if target.suffix.lower() not in (".html", ".htm", ".png"):
        raise UsageError(f"`out` {target}: give a name that ends in .html or .png, as in curves.png")
    charts, png = _charts(run), target.suffix.lower() == ".png"
    sheets = _sheets(run, plot_png.SHEETS if png else plot_html.FRAMES)
    (plot_png if png else plot_html).write(target, run.resolve().name, charts, sheets)
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
    if any("distance" in line for line in stats):
        charts.append(_chart("student and teacher", "distance of pixels", stats, {"distance": "distance"}))
    for path in sorted(run.glob("metric-*.jsonl")):
        measured = [line for line in records(path) if "seconds" in line]  # without lines of gantool evaluate
        by = path.stem.removeprefix("metric-")
        if not measured:
            continue
        names = {name: name for name in ("precision", "recall", "diversity", "copies")}
        charts.append(_chart(f"Fréchet distance, {by}", "distance", measured, {"fd": "distance"}, log=True))
        charts.append(_chart(by, "share, or ratio to the data", measured, names))
    return charts


def _chart(
    title: str, unit: str, lines: list[dict[str, Any]], names: dict[str, str], *, log: bool = False
) -> Chart:
    """Return a chart with a curve for each key of `names`, which maps keys of `lines` to names of curves."""
    curves = []
    for key, name in names.items():
        pairs = [(number(line.get("kimg")), number(line.get(key))) for line in lines]
        curves.append(Curve(name, [(x, y) for x, y in pairs if x is not None and y is not None]))
    return Chart(title, curves, KIMG, Axis(unit, log, zero=not log))


def _sheets(run: Path, most: int) -> list[tuple[float, Path]]:
    """Return at most `most` sheets of samples with their kimg, evenly chosen, with the first and the last."""
    found = [(kimg, path) for path in run.glob("fakes*.png") if (kimg := fakes_kimg(path)) is not None]
    found.sort()
    places = {round(index * (len(found) - 1) / (most - 1)) for index in range(most)} if found else set()
    return [found[place] for place in sorted(places) if _readable(found[place][1])]


def _readable(sheet: Path) -> bool:
    try:
        with Image.open(sheet) as image:
            image.load()
    except ERRORS:
        return False
    return True

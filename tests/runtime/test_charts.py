"""Charts in reports: well-formed, the right way up, with round ticks, and told in words."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from gantool.runtime.web.axis import Axis, scale_of
from gantool.runtime.web.charts import Chart, Curve, histogram, svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg(chart))


def points(line: ElementTree.Element) -> list[tuple[float, ...]]:
    return [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]


@pytest.mark.parametrize("log", [False, True])
def test_a_chart_is_well_formed_and_right_way_up(log: bool) -> None:
    curve = Curve("a < b", [(0, 1.0), (1, 10.0), (2, 100.0), (3, float("nan"))])
    root = drawn(Chart("title & more", [curve], Axis("x"), Axis("y", log)))
    (line,) = root.iter(f"{SVG}polyline")
    places = points(line)
    assert len(places) == 3
    assert places[0][1] > places[1][1] > places[2][1]  # y goes down in SVG
    assert places[0][0] < places[1][0] < places[2][0]
    assert root.attrib["role"] == "img"
    assert root.findtext(f"{SVG}title") == "title & more, y over x. a < b: 1 to 100, at the end 100"


def test_a_chart_without_values_says_so() -> None:
    assert "none: no values" in svg(Chart("empty", [Curve("none", [])], Axis("x"), Axis("y")))


def test_infinite_values_lie_at_the_top_where_they_mean_something() -> None:
    curve = Curve("psnr", [(0, 40.0), (1, math.inf)])
    (line,) = drawn(Chart("t", [curve], Axis("x"), Axis("dB", infinity="equal"))).iter(f"{SVG}polyline")
    assert points(line)[1][1] < points(line)[0][1] - 10
    (alone,) = drawn(Chart("t", [curve], Axis("x"), Axis("dB"))).iter(f"{SVG}polyline")
    assert len(points(alone)) == 1


@pytest.mark.parametrize(
    ("axis", "values", "labels"),
    [
        (Axis(""), [0, 10], ["0", "2", "4", "6", "8", "10"]),
        (Axis("", zero=True), [3, 3], ["0", "1", "2", "3"]),
        (Axis("", zero=True), [0.0, 0.0], ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        (Axis("", log=True), [1, 1000], ["1", "10", "100", "1000"]),
        (Axis("", log=True), [30, 200], ["50", "100", "200"]),
        (Axis("", log=True, ticks=(1, 8, 32)), [1, 8, 32], ["1", "8", "32"]),
        (Axis("", infinity="equal"), [30, 40], ["30", "35", "40", "equal"]),
    ],
)
def test_ticks_are_round(axis: Axis, values: list[float], labels: list[str]) -> None:
    ticks = scale_of(axis, values).ticks()
    assert [label for _, label in ticks] == labels
    assert all(0 <= share <= 1 for share, _ in ticks)


def test_a_histogram_counts_every_value_once() -> None:
    groups = {"a": np.arange(100.0).tolist(), "b": [5.0, 5.0, math.nan]}
    chart = histogram("h", "x", groups)
    edges = {curve.name: [x for x, _ in curve.points] for curve in chart.curves}
    assert edges["a"] == edges["b"]
    for curve in chart.curves:
        assert sum(y for _, y in curve.points[::2]) == pytest.approx(1)
    assert histogram("one value", "x", {"a": [2.0] * 9}).curves[0].points


def test_curves_beyond_the_colours_differ_in_their_dashes() -> None:
    curves = [Curve(str(number), [(0, number), (1, number)]) for number in range(12)]
    lines = drawn(Chart("t", curves, Axis("x"), Axis("y"))).iter(f"{SVG}polyline")
    styles = {(line.attrib["style"], line.attrib["stroke-dasharray"]) for line in lines}
    assert len(styles) == 12

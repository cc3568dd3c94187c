"""What the reports share, and the one of `gantool bench`: foreign texts stay texts, numbers are those of --json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import run_gantool
from gantool.runtime.process.terminal import printable
from gantool.runtime.web import report
from gantool.runtime.web.axis import Axis
from gantool.runtime.web.charts import Chart, Curve, svg
from gantool.runtime.web.pictures import difference, difference_picture, enlargement, picture
from helpers.pages import Report
from helpers.tiny import tiny_graph

HOSTILE = st.one_of(
    st.text(min_size=1, max_size=40),
    st.text(alphabet="<>&\"'/= \n\t\x00\x1b\u202e\ud800abonerrscipt!-", min_size=1, max_size=40),
    st.sampled_from(["</title><script>x</script>", '" onerror="x', "<!--", "]]>", "&lt;", "</style>"]),
)


def page(text: str, path: Path) -> Report:
    image = np.zeros((2, 2, 1), np.uint8)
    chart = Chart(text, [Curve(text, [(0, 1)])], Axis(text), Axis(text), ((1, text),))
    parts = [
        report.paragraph(text),
        report.verdict(False, text),
        report.notes([text]),
        report.section(text, report.table((text, "b"), [(text, report.mark(True, text))], text)),
        report.section("facts", report.facts({text: {"inner" + text: text}}, "facts")),
        report.card(text, report.figure(picture(image, text or "picture"), text), report.code(text)),
        report.details(text, svg(chart)),
    ]
    report.write(path, text, parts)
    return Report.read(path)


@given(HOSTILE)
def test_text_from_a_file_is_shown_and_never_interpreted(text: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        plain, found = (page(each, Path(folder) / "r.html") for each in ("plain", text))
    names = [(tag, name) for tag, name, _ in found.attributes]
    expected = [(tag, name) for tag, name, _ in plain.attributes]
    assert (found.elements, names) == (plain.elements, expected)
    assert found.tables["facts"] == [[printable(text)], ["inner" + printable(text), printable(text)]]
    assert found.headings[0] == found.headings[1] == printable(text)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("report.txt", "--html report.txt: give a name that ends in .html"),
        ("d.html", "it is a folder"),
        ("g.onnx/new/r.html", "g.onnx is not a folder"),
    ],
)
def test_a_name_that_is_not_for_a_report(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    (tmp_path / "d.html").mkdir()
    for command in (("bench", "g.onnx"), ("verify", "g.onnx", "g.onnx"), ("doctor",), ("evaluate", "g.onnx")):
        result = run_gantool(*command, "--html", name, cwd=tmp_path)
        assert (result.returncode, says in result.stderr, result.stdout) == (2, True, "")


def test_the_report_of_bench_has_the_numbers_of_its_json(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    (tmp_path / "<b>.onnx").write_bytes(tiny_graph())
    flags = ("--batch", "1,4", "--provider", "cpu", "--seconds", "0.05", "--json", "--html", "out/b.html")
    result = run_gantool("bench", "g.onnx", "<b>.onnx", *flags, cwd=tmp_path, check=True)
    assert "report: out/b.html" in result.stderr
    found = json.loads(result.stdout)
    made = Report.read(tmp_path / "out/b.html")
    rows = made.rows("Timings")
    assert len(rows) == len(found["rows"]) == 4
    for row, expected in zip(rows, found["rows"], strict=True):
        assert (row["engine"], row["batch"]) == (expected["file"], str(expected["batch"]))
        assert row["images/s"] == f"{expected['images_per_second']:,.1f}"
        assert [row[name] for name in ("p50", "p90", "p99")] == [
            f"{ms:.3f}" for ms in expected["ms"].values()
        ]
    assert rows[0]["of the first"] == "1.00 ×"
    ratio = found["rows"][3]["images_per_second"] / found["rows"][1]["images_per_second"]
    assert rows[3]["of the first"] == f"{ratio:.2f} ×"
    assert found["fastest"] in made.text
    assert made.elements["svg"] == 3  # rates, and latencies of each engine
    facts = dict(row for row in made.tables["Machine and versions"] if len(row) == 2)
    assert facts["cores"] == str(found["machine"]["cores"])
    assert "numpy" in facts


def test_a_bench_in_which_nothing_ran_says_so(exported: Path, tmp_path: Path) -> None:
    result = run_gantool(
        "bench",
        exported / "g.rtx.plan",
        "--batch",
        "1",
        "--seconds",
        "0.05",
        "--html",
        "b.html",
        cwd=tmp_path,
    )
    if result.returncode == 0:
        pytest.skip("there is a GPU here")
    assert result.returncode == 4
    assert "No engine ran" in Report.read(tmp_path / "b.html").text


def test_a_difference_of_transparent_images_is_what_one_sees() -> None:
    reference = np.zeros((1, 1, 3, 4), np.uint8)
    images = reference.copy()
    images[0, 0, 0] = (200, 100, 0, 0)  # another colour, invisible
    images[0, 0, 1] = (0, 0, 0, 255)  # black: seen on white alone
    images[0, 0, 2] = (255, 255, 255, 255)  # white: seen on black alone
    assert difference(reference, images).ravel().tolist() == [0, 255, 255]


def test_differences_are_enlarged_as_far_as_the_eye_needs() -> None:
    assert enlargement(np.zeros((1, 2, 2, 1), np.int32), 255) == 64
    assert enlargement(np.full((1, 2, 2, 1), 255, np.int32), 255) == 1
    assert enlargement(np.full((1, 2, 2, 1), 100, np.int32), 255) == 2
    assert enlargement(np.full((1, 2, 2, 1), 1, np.int32), 65535) == 16384
    changed = np.zeros((1, 1300, 700, 1), np.int32)
    changed[0, 1299, 699] = 3  # one pixel of many is not lost where the picture is smaller than the image
    shown = Report(difference_picture(changed[0], 64, 255, "d")).pictures()["d"]
    assert shown.shape == (434, 234)
    assert int(shown.max()) == 192
    assert np.count_nonzero(shown) == 1

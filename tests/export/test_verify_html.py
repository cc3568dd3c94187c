"""The report of `gantool verify`: the numbers of --json, the worst images, and files that disagree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from conftest import run_gantool
from gantool.export.verify import verify
from gantool.runtime import Generator
from gantool.runtime.web.pictures import difference
from helpers.networks import full_graph, in_fp16
from helpers.pages import Report


def graphs(name: str, folder: Path) -> None:
    """Write a graph in FP32 and in FP16."""
    full = full_graph(name)[0]
    onnx.save(full, folder / "g.onnx")
    onnx.save(in_fp16(full), folder / "g.fp16.onnx")


def reported(*arguments: str, cwd: Path, code: int = 0) -> tuple[Report, list[dict[str, object]]]:
    """Return the report and the JSON of `gantool verify`."""
    result = run_gantool("verify", *arguments, "--json", "--html", "v.html", cwd=cwd)
    assert result.returncode == code, result.stderr
    assert "report: v.html" in result.stderr
    return Report.read(cwd / "v.html"), json.loads(result.stdout)


@pytest.mark.parametrize("name", ["sprites", "conditional", "tile"])
def test_the_report_has_the_numbers_of_the_json_and_the_worst_images(name: str, tmp_path: Path) -> None:
    graphs(name, tmp_path)
    report, rows = reported("g.onnx", "g.fp16.onnx", "--seeds", "3-22", cwd=tmp_path)
    first, second = report.rows("The files and the limits")
    assert (first["file"], first["result"]) == ("1: g.onnx", "the reference")
    assert (second["file"], second["precision"], second["result"]) == ("2: g.fp16.onnx", "fp16", "✓ passed")
    assert (second["worst PSNR"], second["at least"]) == (f"{rows[1]['psnr']} dB", "40 dB")
    assert second["largest difference"] == f"{rows[1]['max_difference']} of 255"
    assert second["batch changes"] == str(rows[1]["batch"])
    seeds = report.rows("PSNR of each seed")
    assert len(seeds) == 20
    shown_psnr = {row["seed"]: row["2: g.fp16.onnx"] for row in seeds}
    assert shown_psnr[second["of seed"]] == second["worst PSNR"]
    least = min(float(psnr.removesuffix(" dB").replace("equal", "inf")) for psnr in shown_psnr.values())
    assert least == rows[1]["psnr"]
    # the worst image: as the engines make it, and their difference enlarged
    shown, seed = report.pictures(), int(second["of seed"].partition(",")[0])
    pair = []
    for file, kind in (("g.onnx", "reference"), ("g.fp16.onnx", "g.fp16.onnx")):
        with Generator.load(tmp_path / file, "cpu") as generator:
            image = generator.images([seed])
        pair.append(image)
        assert (shown[f"seed {second['of seed']}, {kind}"].reshape(image[0].shape) == image[0]).all()
    changed = difference(*pair)[0, :, :, 0]
    (alternative,) = (each for each in shown if each.startswith(f"seed {second['of seed']}, difference"))
    assert alternative.endswith(f"at most {changed.max()} of 255")
    times = int(report.text.partition("The difference is enlarged ×")[2].partition(",")[0])
    assert (shown[alternative] == np.minimum(changed * times, 255)).all()


def test_files_that_disagree_are_shown(tmp_path: Path) -> None:
    graphs("sprites", tmp_path)
    report, rows = reported("g.onnx", "g.fp16.onnx", "--min-psnr", "120", cwd=tmp_path, code=3)
    assert "1 of 2 files disagrees" in report.text
    (row,) = report.rows("The files and the limits")[1:]
    assert row["at least"] == "120 dB"
    parity = f"PSNR {rows[1]['psnr']} dB, largest difference {rows[1]['max_difference']} of 255"
    assert row["result"] == f"✗ {parity}; expected at least 120 dB"


def test_images_of_another_size_and_files_that_do_not_run_are_in_the_table(
    exported: Path, tmp_path: Path
) -> None:
    onnx.save(full_graph("sprites")[0], tmp_path / "s.onnx")
    report, _ = reported("s.onnx", str(exported / "g.onnx"), cwd=tmp_path, code=3)
    assert "its images are" in report.rows("The files and the limits")[1]["result"]
    result = run_gantool("verify", "s.onnx", exported / "g.rtx.plan", "--html", "v.html", cwd=tmp_path)
    if result.returncode == 4:  # no GPU
        report = Report.read(tmp_path / "v.html")
        assert "Nothing was compared" in report.text
        assert "no NVIDIA driver" in report.rows("The files and the limits")[1]["result"]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    graphs("conditional", tmp_path)
    model = onnx.load(tmp_path / "g.onnx")
    names = ["<script>alert(1)</script>", '" onload="x', "</table>", "a\u202eb", "<!--"]
    for entry in model.metadata_props:
        value = json.loads(entry.value)
        if isinstance(value, dict) and "classes" in json.dumps(value):
            value["class_names"] = names
            entry.value = json.dumps(value)
    onnx.save(model, tmp_path / "<img src=x>.onnx")
    report, _ = reported("<img src=x>.onnx", "g.fp16.onnx", "--seeds", "0-9", cwd=tmp_path)
    assert report.elements["script"] == 0
    assert not [each for each in report.attributes if each[1].startswith("on") or each[2] == "x"]
    assert report.rows("The files and the limits")[0]["file"] == "1: <img src=x>.onnx"


def test_images_that_are_all_equal_need_no_pictures(tmp_path: Path) -> None:
    graphs("sprites", tmp_path)
    report, rows = reported("g.onnx", "g.onnx", cwd=tmp_path)
    assert rows[1]["psnr"] is None
    assert [row["result"] for row in report.rows("The files and the limits")] == ["the reference", "✓ passed"]
    assert "All images equal those of the reference." in report.text
    assert list(report.pictures()) == ["The first 40 images of the reference"]


def test_the_numbers_of_each_seed_are_in_python_too(tmp_path: Path) -> None:
    graphs("sprites", tmp_path)
    found = verify([tmp_path / "g.onnx", tmp_path / "g.fp16.onnx"], "0-3")
    assert found.reference is found.rows[0]
    assert [row.images.shape for row in found.rows if row.images is not None] == [(4, 24, 16, 4)] * 2

"""`gantool tune` with real graphs: what it measures, what it makes, and on a device without torch."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from conftest import run_gantool
from gantool.export.artifact import Graph
from gantool.export.engine.build import gpu_problem
from gantool.export.packaging import bundle
from gantool.models import save_checkpoint
from gantool.runtime.bench import meter
from helpers.networks import NETWORKS, lived_in
from helpers.once import once
from helpers.pages import Report
from helpers.tiny import tiny_graph

FAST = ("--provider", "cpu", "--seconds", "0.01")
RUN = "runs/00000-shapes"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run, and what one tuning of it wrote and printed."""

    def make(folder: Path) -> None:
        (folder / RUN).mkdir(parents=True)
        save_checkpoint(folder / RUN / "generator.safetensors", lived_in(NETWORKS["dcgan16"]), 1000, "shapes")
        made = ("--precision", "fp32,fp16", "--lowering", "none,cpu")
        wanted = ("--size", "80kB", "--apply", "--html", "tune.html", "--json")
        result = run_gantool("tune", RUN, *made, *wanted, *FAST, cwd=folder, check=True)
        (folder / "tune.json").write_text(result.stdout)
        (folder / "tune.log").write_text(result.stderr)

    return shutil.copytree(once("tuned", make), tmp_path_factory.mktemp("own") / "tuned")


@pytest.fixture(scope="module")
def found(tuned: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((tuned / "tune.json").read_text())
    return value


@pytest.fixture
def graphs(tuned: Path, tmp_path: Path) -> Path:
    """Return a new folder with the graphs 00000.onnx and 00000.fp16.onnx."""

    def export(folder: Path) -> None:
        flags = ("--fp16", "--engine", "none", "-o", folder / "00000")
        run_gantool("export", tuned / RUN, *flags, cwd=tuned, check=True)

    return shutil.copytree(once("tuned-graphs", export), tmp_path / "graphs")


def test_a_run_is_measured_in_every_variant(found: dict[str, Any]) -> None:
    rows = {row["file"]: row for row in found["rows"]}
    assert sorted(rows) == ["00000-cpu.fp16.onnx", "00000-cpu.onnx", "00000.fp16.onnx", "00000.onnx"]
    for row in rows.values():
        assert row["runs_on"] == "ONNX Runtime, CPU"
        assert row["source"] == RUN
        assert len(row["rounds"]) == 3
        assert min(row["rounds"]) <= row["ms"] <= max(row["rounds"])
        assert row["ms"] <= row["p90"]
        assert row["images_per_second"] > 0
        assert row["fits"] == (row["bytes"] <= 80_000)
    assert rows["00000.fp16.onnx"]["bytes"] < 80_000 < rows["00000.onnx"]["bytes"]
    assert found["quality"]["name"] == "PSNR"
    assert "the images of 00000.onnx" in found["quality"]["about"]
    assert rows["00000.onnx"]["quality"] == 99
    assert rows["00000-cpu.onnx"]["quality"] > rows["00000.fp16.onnx"]["quality"] > 40


def test_the_best_was_made_and_nothing_else(tuned: Path, found: dict[str, Any]) -> None:
    (best,) = [row for row in found["rows"] if row["best"]]
    assert best["fits"]
    assert best["ms"] == min(row["ms"] for row in found["rows"] if row["fits"])
    names = {path.name for path in tuned.iterdir()}
    assert names == {"runs", "tuned.fp16.onnx", "tune.html", "tune.json", "tune.log"}
    assert (tuned / "tuned.fp16.onnx").stat().st_size == best["bytes"]


def test_the_command_makes_the_very_file(tuned: Path, found: dict[str, Any], tmp_path: Path) -> None:
    make, generate = map(shlex.split, found["commands"])
    assert make[make.index("-o") + 1] == "tuned"
    made = [*make[1:-1], str(tmp_path / "again")]
    run_gantool(*made, cwd=tuned, check=True)
    assert (tmp_path / "again.fp16.onnx").read_bytes() == (tuned / "tuned.fp16.onnx").read_bytes()
    images = ("--seeds", "0-3", "-o", str(tmp_path / "images"))
    run_gantool(*generate[1:], *images, cwd=tuned, check=True)
    assert len([*(tmp_path / "images").glob("*.png")]) == 4


def test_it_says_whether_energy_was_measured(tuned: Path, found: dict[str, Any]) -> None:
    (line,) = found["energy"]
    assert line in (tuned / "tune.log").read_text()
    assert line.startswith("Energy is that of " if meter.find(on_gpu=False).sources else "Energy was not ")


def test_the_report(tuned: Path, found: dict[str, Any]) -> None:
    report = Report.read(tuned / "tune.html")
    assert report.headings[:3] == [
        "Quality and cost on this machine",
        "Quality and cost",
        "What it looks like",
    ]
    assert "With at most 80 kB, the best is 00000" in report.text
    rows = report.tables["All figures"][1:]
    assert [row[0] for row in rows] == [row["file"] for row in found["rows"]]
    assert [row[-1] == "the best" for row in rows] == [row["best"] for row in found["rows"]]
    front = {row["file"] for row in found["rows"] if row["front"]}
    assert report.elements["img"] == len(front)


def test_graphs_are_taken_as_they_are(graphs: Path) -> None:
    (graphs / "other.onnx").write_bytes(tiny_graph())
    files = ("00000.onnx", "00000.fp16.onnx", "other.onnx")
    batches = ("--batch", "1,4", "--engine-threads", "1", "--latency", "1000s")
    result = run_gantool("tune", *files, *batches, *FAST, cwd=graphs, check=True)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "runs", "on", "batch", "ms", "p90", "images/s", "size", "PSNR"]
    assert "ONNX Runtime, CPU, 1 threads" not in result.stdout
    assert "ONNX Runtime, CPU, 1 thread " in result.stdout
    assert "warning: other.onnx makes images of 4×4×3, which are not compared with those of 00000.onnx" in (
        result.stderr
    )
    assert lines[-2] == "best:"
    assert lines[-1].endswith(" --batch 1 --provider cpu --engine-threads 1")
    before = {path: path.read_bytes() for path in graphs.iterdir()}
    applied = ("--size", "80kB", "--apply", "-o", "00000")  # the best is the source itself
    run_gantool("tune", "00000.fp16.onnx", "00000.onnx", *applied, *FAST, cwd=graphs, check=True)
    assert {path: path.read_bytes() for path in graphs.iterdir()} == before


def test_nothing_fits(graphs: Path) -> None:
    before = {*graphs.iterdir()}
    result = run_gantool("tune", "00000.onnx", "--size", "1kB", "--apply", *FAST, cwd=graphs)
    assert result.returncode == 4
    assert "00000.onnx" in result.stdout
    assert "gantool: --size: at most 1 kB. 00000.onnx comes nearest, with " in result.stderr
    assert "gantool distill 00000.onnx --macs 0.01" in result.stderr
    assert {*graphs.iterdir()} == before


def test_a_distance_that_every_graph_has_is_the_quality(graphs: Path) -> None:
    for name, own in (("00000.onnx", 10.0), ("00000.fp16.onnx", 10.5)):
        _with_distance(graphs / name, own)
    result = run_gantool("tune", ".", "--quality", "11", *FAST, cwd=graphs, check=True)
    assert result.stdout.splitlines()[0].split()[-1] == "distance"
    assert "Fréchet distance to shapes by classifier, 2000 images, as the export measured it" in result.stdout


def _with_distance(path: Path, own: float) -> None:
    """Store a distance in the metadata of a graph, as `gantool export --data` does."""
    from gantool.runtime.artifacts.onnx import PARITY_KEY, with_json

    graph = Graph.load(path)
    record = {"data": "shapes", "features": "classifier", "images": 2000, "fp32": 10.0, "own": own}
    content = {**graph.parity.content, "frechet": record}
    path.write_bytes(with_json(path, graph.data[:], PARITY_KEY, content))


def test_the_distance_to_data_is_measured_here(graphs: Path) -> None:
    (graphs / "features.onnx").write_bytes(_pools())
    flags = ("--data", "fashion-mnist", "--features", "features.onnx", "--latency", "1000s", "--json")
    result = run_gantool("tune", "00000.onnx", "00000.fp16.onnx", *flags, *FAST, cwd=graphs, check=True)
    found = json.loads(result.stdout)
    assert found["quality"]["name"] == "distance"
    assert "of 2,000 images to fashion-mnist by features.onnx" in found["quality"]["about"]
    full, half = (row["quality"] for row in found["rows"])
    assert full > 0
    assert half == pytest.approx(full, rel=0.02)
    assert half != full


def _pools() -> bytes:
    """Return a feature extractor: images, float [N, 1, 16, 16] -> the means of 4 × 4 parts, [N, 16]."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, 16, 16])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["N", 16])
    nodes = [
        helper.make_node("AveragePool", ["images"], ["means"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["means"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "pools", [images], [vectors])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_pictures_of_another_training_are_told(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_graph())
    (tmp_path / "one.onnx").write_bytes(model.SerializeToString())
    (weights,) = [each for each in model.graph.initializer if each.name == "weights"]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[::-1], "weights"))
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    result = run_gantool("tune", "one.onnx", "two.onnx", *FAST, cwd=tmp_path, check=True)
    assert "the images of two.onnx are as far from those of one.onnx as the images of other seeds" in (
        result.stderr
    )


def test_bundles_are_tuned_on_a_device_without_torch_and_onnx(tuned: Path, tmp_path: Path) -> None:
    made = ("--precision", "fp32,fp16", "--lowering", "none", "--bundle", str(tmp_path / "front"))
    result = run_gantool("tune", RUN, *made, cwd=tuned, check=True)
    assert {path.name for path in (tmp_path / "front").iterdir()} == {"00000.tar", "00000.fp16.tar"}
    assert "gantool tune " in result.stdout
    (tmp_path / "blocked").mkdir()
    for name in ("torch", "onnx", "onnx_ir", "onnxscript", "safetensors", "tensorrt_rtx"):
        (tmp_path / "blocked" / f"{name}.py").write_text("raise ImportError('blocked')")
    path = os.pathsep.join([str(tmp_path / "blocked"), os.environ.get("PYTHONPATH", "")])
    flags = ("--size", "80kB", "--apply", *FAST)
    result = run_gantool("tune", "front", *flags, cwd=tmp_path, env={"PYTHONPATH": path}, check=True)
    assert "* 00000.fp16.onnx" in result.stdout
    assert "00000.fp16.onnx against the golden images of 00000.fp16.tar: " in result.stderr
    carried = bundle.read(tmp_path / "front/00000.fp16.tar").graph
    assert (tmp_path / "tuned.fp16.onnx").read_bytes() == carried


def test_every_width_of_an_elastic_run_is_a_variant(tmp_path: Path) -> None:
    network = replace(NETWORKS["dcgan16"], elastic=(0.5,))
    save_checkpoint(tmp_path / "g.safetensors", lived_in(network), 1000, "shapes")
    made = ("--precision", "fp32", "--lowering", "none", "--bundle", "front")
    run_gantool("tune", "g.safetensors", *made, cwd=tmp_path, check=True)
    assert {path.name for path in (tmp_path / "front").iterdir()} == {"g.tar", "g-0.5x.tar"}
    half = ("--slice", "0.5", "--engine", "none", "-o", "half")
    run_gantool("export", "g.safetensors", *half, cwd=tmp_path, check=True)
    assert bundle.read(tmp_path / "front/g-0.5x.tar").graph == (tmp_path / "half.onnx").read_bytes()


def test_engines_are_built_where_a_gpu_can_run_them(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    if gpu_problem("rtx") is None:
        pytest.skip("there is a GPU here")
    monkeypatch.setattr("gantool.export.tune.gpu_problem", lambda _: None)
    result = run_gantool("tune", "00000.onnx", "--json", *FAST, cwd=graphs, check=True)
    assert "00000.rtx.plan is left out: " in result.stderr  # it was built, and its process finds no GPU
    assert "no NVIDIA driver" in result.stderr
    assert [row["file"] for row in json.loads(result.stdout)["rows"]] == ["00000.onnx"]


@pytest.mark.parametrize(
    ("source", "flags", "code", "says"),
    [
        (
            "missing",
            (),
            1,
            "missing does not exist; expected a run, a checkpoint, a graph, a plan, a bundle or",
        ),
        ("empty", (), 1, "empty holds no graph, plan or bundle"),
        ("tiny.onnx", ("--bundle", "front"), 1, "tiny.onnx is not a run: bundles are made of runs"),
        ("tiny.onnx", ("--provider", "npu"), 2, "--provider npu is unknown: choose auto, cpu, cuda"),
        ("tiny.onnx", ("--energy", "5mJ"), 1, "--energy: this machine has no meter that gantool can read: "),
    ],
)
def test_what_cannot_be_tuned(
    source: str, flags: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "find", lambda **_: meter.Meter((), "no INA3221"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "tiny.onnx").write_bytes(tiny_graph())
    before = {*tmp_path.iterdir()}
    result = run_gantool("tune", source, *flags, cwd=tmp_path)
    assert result.returncode == code
    assert says in result.stderr
    assert {*tmp_path.iterdir()} - {tmp_path / "front"} == before

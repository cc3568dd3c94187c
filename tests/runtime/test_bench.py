from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from conftest import run_gantool
from gantool.runtime.bench.measure import Samples, summary
from helpers.tiny import tiny_graph


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "g.onnx"
    path.write_bytes(tiny_graph())
    return path


def test_rows_of_files_and_batches(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "h.onnx").write_bytes(graph.read_bytes())
    flags = ("--batch", "1,4", "--provider", "cpu", "--seconds", "0.05", "--json")
    result = run_gantool("bench", "g.onnx", "h.onnx", *flags, cwd=tmp_path, check=True)
    found = json.loads(result.stdout)
    rows = found["rows"]
    assert [(row["file"], row["batch"]) for row in rows] == [
        ("g.onnx", 1),
        ("g.onnx", 4),
        ("h.onnx", 1),
        ("h.onnx", 4),
    ]
    for row in rows:
        assert row["runs_on"] == "ONNX Runtime, CPU"
        assert 0 < row["ms"]["p50"] <= row["ms"]["p90"] <= row["ms"]["p99"]
        assert row["images_per_second"] > 0
        assert row["runs"] >= 10
        assert row["start_seconds"] > 0
        assert 2**24 < row["peak_bytes"] < 2**31
    fastest = max(rows, key=lambda row: row["images_per_second"])
    command = shlex.split(found["fastest"])
    assert command[3] == fastest["file"]
    assert command[command.index("--batch") + 1] == str(fastest["batch"])
    run_gantool(*command[1:], cwd=tmp_path, check=True)


def test_the_table_ends_with_a_command_that_works(graph: Path, tmp_path: Path) -> None:
    result = run_gantool("bench", graph, "--batch", "2", "--seconds", "0.05", cwd=tmp_path, check=True)
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["engine", "runs"]
    assert lines[1].split()[0] == str(graph)
    assert lines[2] == "fastest:"
    run_gantool(*shlex.split(lines[3])[1:], cwd=tmp_path, check=True)


def test_the_command_says_all_that_was_asked_for(graph: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    for provider in ("cpu", "openvino"):
        flags = ("--provider", provider, "--engine-threads", "2", "--batch", "2", "--seconds", "0.05")
        result = run_gantool("bench", graph, *flags, cwd=tmp_path, check=True)
        assert result.stdout.splitlines()[-1].endswith(f"--provider {provider} --engine-threads 2")


def test_an_engine_that_cannot_run_is_left_out_and_gives_the_exit_code(
    exported: Path, tmp_path: Path
) -> None:
    flags = ("--batch", "1", "--seconds", "0.05", "--provider", "cpu")
    result = run_gantool("bench", exported / "g.rtx.plan", exported / "g.onnx", *flags, cwd=tmp_path)
    if result.returncode == 0:
        pytest.skip("there is a GPU here")
    assert result.returncode == 4
    assert "g.rtx.plan is skipped: " in result.stderr
    assert "no NVIDIA driver" in result.stderr
    assert "ONNX Runtime, CPU" in result.stdout


def test_a_batch_that_the_engine_does_not_take_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(tiny_graph(batch=2))
    flags = ("--batch", "1,2", "--seconds", "0.05", "--json", "--provider", "cpu")
    result = run_gantool("bench", "two.onnx", *flags, cwd=tmp_path, check=True)
    assert "two.onnx takes batches of 2 to 2: 1 is skipped" in result.stderr
    assert [row["batch"] for row in json.loads(result.stdout)["rows"]] == [2]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--batch", "1,a"], "--batch 1,a"),
        (["--batch", "0"], "--batch 0"),
        (["--batch", ""], "an argument is empty"),
        (["--seconds", "0"], "--seconds 0"),
        (["--seconds", "nan"], "--seconds nan"),
        (["--engine-threads", "0"], "--engine-threads 0"),
    ],
)
def test_bad_flags(flags: list[str], says: str, graph: Path, tmp_path: Path) -> None:
    result = run_gantool("bench", graph, *flags, cwd=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_figures_of_a_timing() -> None:
    found = summary(Samples(400.0, 6.0, [0.01] * 99 + [0.03], [0.005] * 100), batch=4)
    assert found["images_per_second"] == 400
    assert found["ms"]["p50"] == pytest.approx(10)
    assert found["ms"]["p99"] < 30
    assert found["compute_ms"]["p90"] == pytest.approx(5)
    assert found["watts"] == 6
    assert found["mj_per_image"] == pytest.approx(15)
    assert found["doubts"] == []


def test_noise_and_throttling_are_told() -> None:
    noisy = summary(Samples(1.0, None, [0.01, 0.01, 0.01, 0.02] * 10, []), batch=1)
    assert ["other programs were running" in doubt for doubt in noisy["doubts"]] == [True]
    slowing = summary(Samples(1.0, None, [0.01] * 20 + [0.013] * 20, []), batch=1)
    assert ["throttled" in doubt for doubt in slowing["doubts"]] == [True]

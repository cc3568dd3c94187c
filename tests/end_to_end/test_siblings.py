"""Commands that take the same things: a file, a run, a folder, or nothing; and exports beside earlier ones."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from conftest import run_gantool
from field.cases import gantool

RUN = "runs/00000-fashion-mnist-dcgan32"


def test_generate_takes_the_file_or_the_newest(work: Path) -> None:
    os.utime(work / "g.onnx", (1, 1))
    shutil.copy(work / "g.onnx", work / "gx.onnx")  # another family
    answer = gantool("generate --seeds 0", work)
    assert (answer.code, "using g.fp16.onnx, the newest engine here" in answer.err) == (0, True)
    for command in ("generate g.onnx --seeds 0", "generate -e g.onnx --seeds 0"):
        answer = gantool(command, work)
        assert (answer.code, answer.err) == (0, "")
    answer = gantool("generate g.onnx -e g.fp16.onnx", work)
    assert (answer.code, "give one of them" in answer.err) == (2, True)
    rows = json.loads(gantool("bench --json --seconds 0.05 --batch 1", work).out)["rows"]
    assert [row["file"] for row in rows] == ["g.fp16.onnx", "g.onnx"]


def test_nothing_to_take(work: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("generate", "bench"):
        answer = gantool(command, tmp_path / "empty")
        assert (answer.code, "there is no engine g.* in this folder" in answer.err) == (2, True)
    for path in work.glob("*.onnx"):
        path.unlink()
    answer = gantool("generate", work)  # a plan, without a GPU
    assert answer.code in (0, 2)
    assert answer.code == 0 or "g.rtx.plan do not run on this machine" in answer.err


def test_a_run_is_its_checkpoint(work: Path, trained: Path) -> None:
    shutil.copytree(trained / "runs", work / "runs")
    answer = gantool(f"verify {RUN} g.onnx --seeds 0-7 --json", work)
    assert answer.code == 0
    assert [row["file"] for row in json.loads(answer.out)] == [f"{RUN}/generator.safetensors", "g.onnx"]
    assert json.loads(gantool(f"inspect {RUN} --json", work).out)["kind"] == "checkpoint"


def test_a_folder_lists_its_files(work: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs", work / "runs")
    (work / "cut.plan").write_bytes((work / "g.rtx.plan").read_bytes()[:-9])
    rows = {row["file"]: row["kind"] for row in json.loads(gantool("inspect --json", work).out)}
    assert rows["g.onnx"] == "ONNX graph"
    assert rows["g.rtx.plan"].startswith("TensorRT-RTX 1.")
    assert rows["cut.plan"].startswith("damaged: cut.plan is cut off")
    assert rows[f"{RUN}/generator.safetensors"] == "checkpoint"
    assert gantool(["inspect", str(work)], tmp_path).code == 0
    (tmp_path / "none").mkdir()
    answer = gantool("inspect none", tmp_path)
    assert (answer.code, "none holds no checkpoint" in answer.err) == (1, True)
    answer = gantool(["verify", str(work), str(work / "g.onnx")], tmp_path)
    assert (answer.code, "name one of them" in answer.err) == (1, True)


def test_inspect_of_a_graph_without_onnx(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("onnx", "torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "gantool.export.graph.layers", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    answer = gantool("inspect g.onnx --json", work)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["metadata"]["data"] == "fashion-mnist"
    assert found["graph"].endswith("pip install onnx")


def test_a_plan_of_another_precision_is_not_replaced(work: Path) -> None:
    before = (work / "g.rtx.plan").read_bytes()
    for flags, new in (("--int8", "INT8"), ("--int8 --fp16", "INT8"), ("", "FP32")):
        answer = gantool(f"export g.onnx --engine rtx {flags}", work)
        assert answer.code == 2
        assert f"g.rtx.plan computes in FP16, and this export would replace it by {new}" in answer.err
        assert f"-o g-{new.lower()}" in answer.err
    assert (work / "g.rtx.plan").read_bytes() == before
    assert not (work / "g.int8.onnx").exists()
    assert gantool("export g.onnx --fp16 --engine rtx", work).code == 0  # the same again
    assert gantool("export g.fp16.onnx --engine rtx", work).code == 0
    assert gantool("export g.onnx --int8 --engine rtx --overwrite", work).code == 0
    (work / "g.rtx.plan.json").unlink()
    assert gantool("export g.onnx --fp16 --engine rtx", work).code == 0  # nothing is known of it


def test_files_of_other_weights_are_named(work: Path, trained: Path) -> None:
    more = ["train", "--width", "8", "--kimg", "0.1", "--no-autotune", "--outdir", "more"]
    run_gantool(*more, cwd=work, check=True)
    checkpoint = next(work.glob("more/*/generator.safetensors"))
    again = gantool(["export", str(next(trained.glob("runs/*"))), "--engine", "none", "-o", "g"], work)
    assert (again.code, "earlier export" in again.err) == (0, False)
    answer = gantool(["export", str(checkpoint), "--engine", "none", "-o", "g"], work)
    assert answer.code == 0
    note = "g.fp16.onnx is from an earlier export, with weights after"
    assert note in answer.err
    assert "kimg of fashion-mnist, not" in answer.err
    answer = gantool("verify g.onnx g.fp16.onnx --seeds 0-7", work)
    assert answer.code == 3
    assert "it has the weights after" in answer.err

"""inspect and verify, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import run_gantool
from gantool.export import inspect
from gantool.runtime import Generator
from gantool.runtime.backends.tensorrt.cuda import driver_problem, import_driver
from helpers.networks import full_graph


def test_inspect_a_graph(exported: Path) -> None:
    found = json.loads(run_gantool("inspect", "g.fp16.onnx", "--json", cwd=exported, check=True).stdout)
    assert found["kind"] == "ONNX graph"
    assert found["multiply-adds by type"] == {"FLOAT16": "100.0%"}
    assert found["recipe"]["low"] == "fp16"
    assert found["metadata"]["latent"]["size"] == 100
    assert [tensor["name"] for tensor in found["tensors"]] == ["z", "images"]
    plan = json.loads(run_gantool("inspect", "g.rtx.plan", "--json", cwd=exported, check=True).stdout)
    assert plan["kind"] == "TensorRT-RTX plan"
    assert plan["multiply-adds"] == found["multiply-adds"]  # counted by two libraries
    assert plan["multiply-adds by type"] == {"HALF": "100.0%"}
    assert plan["recipe"] == found["recipe"]


def test_inspect_for_people(exported: Path, checkpoint: Path) -> None:
    text = run_gantool("inspect", "g.rtx.plan", cwd=exported, check=True).stdout
    assert "as the header says" in text
    assert "DECONVOLUTION" in text
    text = run_gantool("inspect", checkpoint, cwd=exported, check=True).stdout
    assert "kind        checkpoint" in text
    assert "architecture dcgan" in text


def test_a_bundle_is_looked_into_and_compared(work: Path) -> None:
    run_gantool("export", "g.onnx", "--fp16", "--bundle", "b.tar", "--engine", "none", cwd=work, check=True)
    graph = json.loads(run_gantool("inspect", "g.fp16.onnx", "--json", cwd=work, check=True).stdout)
    found = json.loads(run_gantool("inspect", "b.tar", "--json", cwd=work, check=True).stdout)
    assert (found["kind"], found["precision"]) == ("bundle", "fp16")
    assert found["golden images"] == "10 of 32×32×1, to be reached within 40 dB"
    assert found["layers"] == graph["layers"]
    rows = json.loads(run_gantool("verify", "g.fp16.onnx", "b.tar", "--json", cwd=work, check=True).stdout)
    assert rows[1] | {"file": ""} == rows[0] | {"file": ""}
    assert rows[1]["psnr"] is None  # equal
    data = bytearray((work / "b.tar").read_bytes())
    data[5000] ^= 1
    (work / "b.tar").write_bytes(data)
    result = run_gantool("inspect", "b.tar", cwd=work)
    assert (result.returncode, "is not a complete bundle" in result.stderr) == (1, True)
    result = run_gantool("generate", "--engine", "b.tar", cwd=work)
    assert "b.tar is a bundle of gantool" in result.stderr
    assert "gantool export b.tar" in result.stderr


def test_a_plan_without_sidecar_is_asked_where_a_device_is(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "g.rtx.plan.json").unlink()
    if driver_problem(import_driver("rtx", "asking")):
        assert inspect.facts(work / "g.rtx.plan")["tensors"] == []
    # as a device would answer: by the graph that the plan was built from
    load = Generator.load
    monkeypatch.setattr(Generator, "load", lambda _: load(work / "g.fp16.onnx"))
    assert inspect.facts(work / "g.rtx.plan")["tensors"] == [
        {"name": "z", "mode": "INPUT", "type": "FLOAT", "shape": [-1, 100]},
        {"name": "images", "mode": "OUTPUT", "type": "UINT8", "shape": [-1, 32, 32, 1]},
    ]


def test_inspect_what_is_damaged(work: Path, checkpoint: Path) -> None:
    (work / "c.safetensors").write_bytes(checkpoint.read_bytes()[:-10])
    (work / "cut.plan").write_bytes((work / "g.rtx.plan").read_bytes()[:-10])
    (work / "cut.onnx").write_bytes((work / "g.onnx").read_bytes()[:-1000])
    (work / "text").write_text("hello")
    for name, message in (
        ("c.safetensors", "its header says"),
        ("cut.plan", "is cut off"),
        ("cut.onnx", "is cut short or damaged"),
        ("text", "is a text file"),
        ("nowhere", "does not exist"),
    ):
        result = run_gantool("inspect", name, cwd=work)
        assert result.returncode == 1
        assert message in result.stderr


def test_verify_what_agrees(work: Path, checkpoint: Path) -> None:
    files: list[str | Path] = [checkpoint, "g.onnx", "g.fp16.onnx", "g.rtx.plan"]
    result = run_gantool("verify", *files, "--json", cwd=work)
    assert result.returncode == 0, result.stderr
    first, full, half, plan = json.loads(result.stdout)
    assert (first["psnr"], full["precision"], half["precision"]) == (None, "fp32", "fp16")
    assert half["psnr"] is None or half["psnr"] > 40
    assert half["batch"] == 0
    if plan["note"]:
        assert "no NVIDIA driver" in plan["note"]
    text = run_gantool("verify", *files, cwd=work, check=True)
    assert "worst PSNR" in text.stdout
    assert text.stderr == ""


def test_verify_where_nothing_runs(work: Path) -> None:
    result = run_gantool("verify", "g.rtx.plan", "g.rtx.plan", cwd=work)
    if result.returncode == 0:
        pytest.skip("there is a GPU here")
    assert (result.returncode, result.stdout.count("cannot run here: ")) == (4, 2)
    assert "fewer than two of these files run here" in result.stderr


def test_verify_what_does_not(work: Path) -> None:
    import onnx

    onnx.save(full_graph("dcgan28")[0], work / "other.onnx")
    result = run_gantool("verify", "g.onnx", "other.onnx", cwd=work)
    assert result.returncode == 3
    assert "they disagree: other.onnx: its images are (28, 28, 1)" in result.stderr
    result = run_gantool("verify", "g.onnx", "g.fp16.onnx", "--min-psnr", "190", cwd=work)
    assert result.returncode in (0, 3)
    assert run_gantool("verify", "g.onnx", cwd=work).returncode == 2


def test_auto_measures_and_takes_one_that_fits(work: Path, checkpoint: Path) -> None:
    flags = ["--lowering", "auto", "-o", "a"]
    result = run_gantool("export", checkpoint, *flags, "--engine", "none", cwd=work, check=True)
    assert "speed relative to none with --provider cpu, batch 16: none 1.00, subpixel" in result.stderr
    assert "with --provider openvino, batch 16: none " in result.stderr
    result = run_gantool("export", checkpoint, *flags, "--engine", "rtx", cwd=work)
    assert result.returncode == 2
    assert "does not predict the speed of an engine" in result.stderr


def test_a_name_with_its_suffix_is_the_same_name(work: Path, checkpoint: Path) -> None:
    run_gantool("export", checkpoint, "-o", "named.onnx", "--engine", "none", cwd=work, check=True)
    assert [path.name for path in work.glob("named*")] == ["named.onnx"]

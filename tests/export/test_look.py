"""inspect, verify and the Triton repository, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import run_gantool
from export.networks import full_graph


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


def test_inspect_what_is_damaged(work: Path, checkpoint: Path) -> None:
    (work / "c.safetensors").write_bytes(checkpoint.read_bytes()[:-10])
    (work / "cut.plan").write_bytes((work / "g.rtx.plan").read_bytes()[:-10])
    (work / "cut.onnx").write_bytes((work / "g.onnx").read_bytes()[:-1000])
    (work / "text").write_text("hello")
    for name, message in (
        ("c.safetensors", "its header says"),
        ("cut.plan", "is cut off"),
        ("cut.onnx", "is damaged"),
        ("text", "no known format"),
        ("nowhere", "does not exist"),
    ):
        result = run_gantool("inspect", name, cwd=work)
        assert result.returncode == 1
        assert message in result.stderr


def test_verify_what_agrees(work: Path, checkpoint: Path) -> None:
    files = [checkpoint, "g.onnx", "g.fp16.onnx", "g.rtx.plan"]
    result = run_gantool("verify", *files, "--json", cwd=work)
    assert result.returncode == 0, result.stderr
    first, full, half, plan = json.loads(result.stdout)
    assert (first["psnr"], full["precision"], half["precision"]) == (None, "fp32", "fp16")
    assert half["psnr"] is None or half["psnr"] > 40
    assert half["batch"] == 0
    if plan["note"]:
        assert "no NVIDIA driver" in plan["note"]
    text = run_gantool("verify", *files, cwd=work, check=True).stdout
    assert "worst PSNR" in text


def test_verify_what_does_not(work: Path) -> None:
    import onnx

    onnx.save(full_graph("dcgan28")[0], work / "other.onnx")
    result = run_gantool("verify", "g.onnx", "other.onnx", cwd=work)
    assert result.returncode == 3
    assert "they disagree: other.onnx: its images are (28, 28, 1)" in result.stderr
    result = run_gantool("verify", "g.onnx", "g.fp16.onnx", "--min-psnr", "190", cwd=work)
    assert result.returncode in (0, 3)
    assert run_gantool("verify", "g.onnx", cwd=work).returncode == 2


@pytest.mark.parametrize("name", ["g", "faces"])
def test_a_triton_repository(name: str, work: Path) -> None:
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    (work / "repo").mkdir()
    target = "repo" if name == "g" else f"repo/{name}"
    for _ in range(2):  # the second replaces the first
        flags = ["--triton", target, "--engine", "none", "--int8", "--max-batch", "24"]
        run_gantool("export", "g.onnx", *flags, cwd=work, check=True)
    folder = work / "repo" / name
    assert sorted(path.name for path in (work / "repo").iterdir()) == [name]
    assert (folder / "1/model.onnx").read_bytes() == (work / "g.int8.onnx").read_bytes()
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config.ModelConfig())
    assert (config.name, config.platform, config.max_batch_size) == (name, "onnxruntime_onnx", 24)
    assert [(value.name, value.data_type, list(value.dims)) for value in config.input] == [
        ("z", model_config.TYPE_FP32, [100])
    ]
    assert [(value.name, value.data_type, list(value.dims)) for value in config.output] == [
        ("images", model_config.TYPE_UINT8, [32, 32, 1])
    ]
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8, 16, 24]
    assert [entry.batch_size for entry in config.model_warmup] == [1, 24]
    assert config.parameters["latent_distribution"].string_value == "normal"


def test_a_conditional_model_in_triton(tmp_path: Path) -> None:
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    import onnx
    from google.protobuf import text_format

    onnx.save(full_graph("conditional")[0], tmp_path / "c.onnx")
    flags = ["--triton", "repo/cond", "--engine", "none", "--fp16"]
    run_gantool("export", "c.onnx", *flags, cwd=tmp_path, check=True)
    text = (tmp_path / "repo/cond/config.pbtxt").read_text()
    config = text_format.Parse(text, model_config.ModelConfig())
    label = config.input[1]
    assert (label.name, label.data_type, list(label.dims)) == ("label", model_config.TYPE_INT64, [1])
    assert label.HasField("reshape")
    assert list(label.reshape.shape) == []
    assert (tmp_path / "repo/cond/labels.txt").read_text().split() == list("01234")
    shutil.rmtree(tmp_path / "repo")
    result = run_gantool(
        "export", "c.onnx", "--fp16", "--triton", "repo/a b", "--engine", "none", cwd=tmp_path
    )
    assert result.returncode == 2
    assert "is no name for a model" in result.stderr


def test_auto_measures_and_takes_one_that_fits(work: Path, checkpoint: Path) -> None:
    flags = ["--lowering", "auto", "-o", "a"]
    result = run_gantool("export", checkpoint, *flags, "--engine", "none", cwd=work, check=True)
    assert "speed against none with ONNX Runtime, batch 16: none 1.00, subpixel" in result.stderr
    result = run_gantool("export", checkpoint, *flags, "--engine", "rtx", cwd=work)
    assert result.returncode == 2
    assert "says nothing of an engine" in result.stderr

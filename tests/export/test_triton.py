"""Entries of a model repository, read with Triton's own ModelConfig and held against the model in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format

from conftest import run_gantool
from gantool.export.artifact import Graph
from gantool.export.engine.artifact import Engine
from gantool.export.engine.options import BuildOptions
from gantool.export.packaging import triton
from gantool.runtime import UsageError
from gantool.runtime.artifacts.sidecar import Sidecar
from helpers.networks import CLASSES, full_graph
from helpers.triton_messages import MESSAGES

NUMPY = {MESSAGES.TYPE_FP32: np.float32, MESSAGES.TYPE_INT64: np.int64, MESSAGES.TYPE_UINT8: np.uint8}


def parse(entry: Path) -> Any:
    return text_format.Parse((entry / "config.pbtxt").read_text(), MESSAGES.ModelConfig())


def run_as_triton(entry: Path, batch: int) -> None:
    """Give the model what Triton would make of a request, and look at what comes out."""
    config = parse(entry)
    session = onnxruntime.InferenceSession(entry / "1/model.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == [value.name for value in config.input]
    feeds = {}
    for value in config.input:
        dims = value.reshape.shape if value.HasField("reshape") else value.dims
        feeds[value.name] = np.zeros((batch, *dims), NUMPY[value.data_type])
    (images,) = session.run(["images"], feeds)
    (output,) = config.output
    assert output.name == "images"
    assert images.shape == (batch, *output.dims)
    assert images.dtype == NUMPY[output.data_type]


def in_repository(graph: onnx.ModelProto, folder: Path, *flags: str) -> Path:
    """Export a graph with --triton; return its entry."""
    onnx.save(graph, folder / "faces.onnx")
    run_gantool(
        "export", "faces.onnx", "--engine", "none", "--triton", "models/faces", *flags, cwd=folder, check=True
    )
    return folder / "models/faces"


def test_a_graph(exported: Path, tmp_path: Path) -> None:
    flags = ("--engine", "none", "--max-batch", "32", "--opt-batch", "8", "-o", tmp_path / "g")
    result = run_gantool(
        "export", exported / "g.onnx", "--triton", "models/g", *flags, cwd=tmp_path, check=True
    )
    entry = tmp_path / "models/g"
    assert {str(path.relative_to(entry)) for path in entry.rglob("*")} == {
        "config.pbtxt",
        "1",
        "1/model.onnx",
    }
    assert (entry / "1/model.onnx").read_bytes() == (exported / "g.onnx").read_bytes()
    config = parse(entry)
    assert (config.name, config.platform, config.max_batch_size) == ("g", "onnxruntime_onnx", 32)
    assert config.version_policy.latest.num_versions == 1
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 32]
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "latent": "100",
        "distribution": "normal",
        "precision": "fp32",
    }
    run_as_triton(entry, 3)
    assert "models/g/config.pbtxt" in result.stdout
    assert "--model-repository=/models" in result.stdout


def test_warm_up_asks_what_the_inputs_take(tmp_path: Path) -> None:
    config = parse(in_repository(full_graph("conditional")[0], tmp_path, "--max-batch", "16"))
    assert [warm.batch_size for warm in config.model_warmup] == [1, 16]
    for warm in config.model_warmup:
        assert set(warm.inputs) == {value.name for value in config.input}
        for value in config.input:
            assert warm.inputs[value.name].data_type == value.data_type
            assert warm.inputs[value.name].dims == value.dims
            assert warm.inputs[value.name].zero_data  # random ones would be no labels


def test_a_conditional_generator_has_labels(tmp_path: Path) -> None:
    entry = in_repository(full_graph("conditional")[0], tmp_path)
    label = parse(entry).input[1]
    assert (label.name, label.data_type, list(label.dims)) == ("label", MESSAGES.TYPE_INT64, [1])
    assert label.HasField("reshape")
    assert not label.reshape.shape
    assert parse(entry).output[0].label_filename == "labels.txt"
    assert (entry / "labels.txt").read_text().split() == [str(number) for number in range(CLASSES)]
    run_as_triton(entry, 4)


@pytest.mark.parametrize("names", [["one", "two"], ["a", "b", " ", "d", "e"], "abcde", {"a": 1}])
def test_class_names_that_do_not_fit(tmp_path: Path, names: Any) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(full_graph("conditional")[0])
    (entry,) = (entry for entry in graph.metadata_props if entry.key == "gantool")
    entry.value = json.dumps({**json.loads(entry.value), "class_names": names})
    onnx.save(graph, tmp_path / "g.onnx")
    result = run_gantool("export", "g.onnx", "--engine", "none", "--triton", "models/faces", cwd=tmp_path)
    assert (result.returncode, "the generator has 5 classes" in result.stderr) == (1, True)
    assert not (tmp_path / "models").exists()


def test_the_repository_may_be_this_folder(exported: Path, tmp_path: Path) -> None:
    flags = ("--engine", "none", "--triton", ".", "-o", "faces")
    run_gantool("export", exported / "g.onnx", *flags, cwd=tmp_path, check=True)
    assert parse(tmp_path / "faces").name == "faces"
    result = run_gantool("export", exported / "g.onnx", "--bundle", ".", cwd=tmp_path)
    assert result.returncode == 2
    (tmp_path / "folder.tar").mkdir()
    result = run_gantool("export", exported / "g.onnx", "--bundle", "folder.tar", cwd=tmp_path)
    assert (result.returncode, "is a folder" in result.stderr) == (2, True)


def test_class_names_of_the_metadata(tmp_path: Path) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(full_graph("conditional")[0])
    (entry,) = (entry for entry in graph.metadata_props if entry.key == "gantool")
    names = ["T-shirt", "red\ndress", "Schön", "bag", "boot"]
    entry.value = json.dumps({**json.loads(entry.value), "class_names": names})
    written = in_repository(graph, tmp_path) / "labels.txt"
    assert written.read_text(encoding="utf-8").splitlines() == [
        "T-shirt",
        "red dress",
        "Schön",
        "bag",
        "boot",
    ]


def test_float_images(tmp_path: Path) -> None:
    entry = in_repository(full_graph("dcgan64", output="float")[0], tmp_path)
    assert list(parse(entry).output[0].dims) == [3, 64, 64]
    run_as_triton(entry, 2)


@pytest.mark.parametrize(("version", "kind"), [("8.6.1", "INT32"), ("10.3.0", "INT64")])
def test_a_plan_of_tensorrt(exported: Path, tmp_path: Path, version: str, kind: str) -> None:
    """The sidecar says what the engine takes: TensorRT 8 makes INT32 of a label."""
    plan = tmp_path / "g.plan"
    plan.write_bytes(b"ftrt" + bytes(60))
    sidecar = {
        "version": version,
        "plan_sha256": hashlib.sha256(plan.read_bytes()).hexdigest(),
        "batch": {"min": 1, "opt": 16, "max": 64},
        "tensors": {
            "z": {"mode": "INPUT", "type": "FLOAT", "shape": [-1, 100]},
            "label": {"mode": "INPUT", "type": kind, "shape": [-1]},
            "images": {"mode": "OUTPUT", "type": "UINT8", "shape": [-1, 32, 32, 1]},
        },
    }
    engine, graph = Engine(plan, plan.read_bytes(), Sidecar(sidecar)), Graph.load(exported / "g.fp16.onnx")
    made = triton.contents(tmp_path / "models/g", graph, None, engine, BuildOptions())
    triton.write(made)
    entry = tmp_path / "models/g"
    config = parse(entry)
    assert (config.platform, config.max_batch_size) == ("tensorrt_plan", 64)
    assert [MESSAGES.DataType.Name(value.data_type) for value in config.input] == [
        "TYPE_FP32",
        f"TYPE_{kind}",
    ]
    assert config.parameters["precision"].string_value == "fp16"
    assert (entry / "1/model.plan").read_bytes() == plan.read_bytes()


def test_an_entry_is_replaced_by_the_next(exported: Path, tmp_path: Path) -> None:
    entry = in_repository(full_graph("conditional")[0], tmp_path)
    (entry / "1/model.plan").write_bytes(b"of an earlier export")
    flags = ("--engine", "none", "--triton", "models", "-o", "faces")
    result = run_gantool("export", exported / "g.onnx", *flags, cwd=tmp_path, check=True)
    assert f"{Path('models/faces/1')} exists: gantool replaces its model" in result.stderr
    assert {path.name for path in entry.rglob("*")} == {"config.pbtxt", "1", "model.onnx"}
    assert (entry / "1/model.onnx").read_bytes() == (exported / "g.onnx").read_bytes()


def test_a_plan_of_tensorrt_rtx_is_not_for_triton(work: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run_gantool("export", "g.fp16.onnx", "--engine", "rtx", "--triton", "m/g", cwd=work, check=True)
    assert "Triton does not run TensorRT-RTX: m/g gets g.fp16.onnx" in result.stderr
    assert parse(work / "m/g").platform == "onnxruntime_onnx"
    assert parse(work / "m/g").parameters["precision"].string_value == "fp16"


@pytest.mark.parametrize("target", ["models/a b", "models/über", "models/-g", "models/.g", "models"])
def test_names_that_triton_does_not_take(work: Path, target: str) -> None:
    result = run_gantool("export", "g.onnx", "--engine", "none", "--triton", target, cwd=work)
    assert result.returncode == 2
    assert f"--triton {target}" in result.stderr
    assert not (work / "models").exists()


def test_a_repository_that_is_there_gets_the_name_of_the_export(work: Path) -> None:
    (work / "models").mkdir()
    for _ in range(2):
        run_gantool("export", "g.onnx", "--engine", "none", "--triton", "models", cwd=work, check=True)
        run_gantool("export", "g.onnx", "--engine", "none", "--triton", "models/h", cwd=work, check=True)
    assert {str(path.relative_to(work)) for path in work.rglob("config.pbtxt")} == {
        "models/g/config.pbtxt",
        "models/h/config.pbtxt",
    }


def test_engines_that_triton_cannot_use() -> None:
    for options, flag in (
        (BuildOptions(min_batch=2), "`min_batch`"),
        (BuildOptions(dla=0), "`dla`"),
        (BuildOptions(strip_weights=True), "`strip_weights`"),
    ):
        with pytest.raises(UsageError, match=flag):
            triton.check_options("tensorrt", options)
        triton.check_options("rtx", options)  # the graph goes in, which has none of these


def test_a_bf16_graph_is_not_for_onnx_runtime(checkpoint: Path, tmp_path: Path) -> None:
    flags = ("--bf16", "--engine", "none", "--triton", "models/g")
    result = run_gantool("export", checkpoint, *flags, cwd=tmp_path)
    assert result.returncode == 1
    assert "no convolution in BF16" in result.stderr
    assert not list(tmp_path.iterdir())

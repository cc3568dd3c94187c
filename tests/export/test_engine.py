"""Real builds with TensorRT-RTX, which needs no GPU for them."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from conftest import run_gantool
from gantool.export.artifact import Graph
from gantool.export.engine import options as build_options
from gantool.export.engine.build import build, choose_library
from gantool.export.engine.options import BuildOptions, parse_compute_capabilities, parse_size
from gantool.export.macs import Layer
from gantool.runtime import GantoolError, UsageError
from gantool.runtime.artifacts.plan import identify, read_header
from gantool.runtime.metadata import Metadata
from helpers.commands import on_a_terminal

pytest.importorskip("tensorrt_rtx")


def test_the_plan_and_its_sidecar(exported: Path) -> None:
    plan = exported / "g.rtx.plan"
    assert sorted(path.name for path in exported.iterdir()) == [
        "g.fp16.onnx",
        "g.onnx",
        "g.rtx.plan",
        "g.rtx.plan.json",
    ]
    assert identify(plan) == "rtx"
    sidecar = json.loads((exported / "g.rtx.plan.json").read_text())
    earlier = json.loads((Path(__file__).parents[1] / "earlier/0873d01/g.rtx.plan.json").read_text())
    assert (list(sidecar), sidecar["flavour"]) == (list(earlier), "rtx")  # others may read it, too
    assert sidecar["plan_sha256"] == hashlib.sha256(plan.read_bytes()).hexdigest()
    assert sidecar["graph_sha256"] == hashlib.sha256((exported / "g.fp16.onnx").read_bytes()).hexdigest()
    assert sidecar["batch"] == {"min": 1, "opt": 16, "max": 64}
    assert sidecar["metadata"]["latent"] == {"size": 100, "distribution": "normal"}
    assert tuple(sidecar["compute_capabilities"]) == read_header(plan).compute_capabilities
    assert sidecar["receipt"]["shares"] == {"HALF": 1.0}
    assert sidecar["tensors"]["z"] == {"mode": "INPUT", "type": "FLOAT", "shape": [-1, 100]}


def test_an_fp32_graph_gives_an_fp32_engine(exported: Path) -> None:
    built = build(Graph.load(exported / "g.onnx"), "rtx", BuildOptions())
    assert built.receipt.shares() == {"FLOAT": 1.0}


def test_options_reach_the_builder(exported: Path, tmp_path: Path) -> None:
    options = BuildOptions(2, 4, 8, workspace=parse_size("256MiB"), compute_capabilities=("86", "89"))
    built = build(Graph.load(exported / "g.fp16.onnx"), "rtx", options)
    (tmp_path / "p").write_bytes(built.plan)
    assert read_header(tmp_path / "p").compute_capabilities == ("8.6", "8.9")
    assert built.batches == (2, 4, 8)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--timing-cache", "t"], "takes a timing cache and does not use it"),
        (["--hardware-compatible", "same"], "builds for the compute capabilities of --sm instead"),
        (["--dla", "0"], "has no DLA"),
        (["--builder-level", "5"], "builds the same plan at every level"),
        (["--version-compatible"], "lacks the lean runtime"),
        (["--builder-level", "6"], "--builder-level 6: choose 0, 1, 2, 3, 4, 5"),
        (["--profile-verbosity", "all"], "choose none, layer, detailed"),
        (["--strip-weights", "--engine", "none"], "none is built"),
    ],
)
def test_what_rtx_does_not_have_is_refused(
    flags: list[str], reason: str, exported: Path, tmp_path: Path
) -> None:
    result = run_gantool(
        "export", exported / "g.fp16.onnx", "-o", "h", "--engine", "rtx", *flags, cwd=tmp_path
    )
    assert result.returncode == 2
    assert reason in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_reasons_of_what_is_refused_are_true(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of TensorRT-RTX that begins to use one of these fails here."""
    monkeypatch.setattr(build_options, "_NOT_RTX", {})
    graph = Graph.load(exported / "g.fp16.onnx")
    plain = build(graph, "rtx", BuildOptions()).plan
    for unused in (BuildOptions(builder_level=5), BuildOptions(hardware_compatible="ampere+")):
        plan = build(graph, "rtx", unused).plan
        # One build in some hundreds holds a few bytes of memory that TensorRT-RTX did not initialize.
        different = np.frombuffer(plan, np.uint8) != np.frombuffer(plain, np.uint8)
        assert different.mean() < 0.001
    with pytest.raises(GantoolError, match="libnvinfer_lean"):
        build(graph, "rtx", BuildOptions(version_compatible=True))


def test_verbosity_reaches_rtx(exported: Path) -> None:
    options = (
        BuildOptions(),
        BuildOptions(profile_verbosity="none"),
        BuildOptions(profile_verbosity="detailed"),
    )
    plans = [build(Graph.load(exported / "g.fp16.onnx"), "rtx", one).plan for one in options]
    assert len(set(plans)) == 3


def quantized_graph(path: Path, weights_only: bool) -> Path:
    """Write z [N, 6] -> Quantize, Dequantize -> ConvTranspose with int8 weights -> images, float [N, 3, 4, 4]."""
    constants: dict[str, Any] = {
        "column": np.array([-1, 6, 1, 1], np.int64),
        "scale": np.float32(0.05),
        "zero": np.int8(0),
        "integers": np.random.RandomState(0).randint(-127, 128, (6, 3, 4, 4), np.int8),
        "scales": np.full(3, 0.01, np.float32),
        "zeros": np.zeros(3, np.int8),
    }
    rounding = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["xq"]),
    ]
    nodes = [
        helper.make_node("Reshape", ["z", "column"], ["x"]),  # [N, 6, 1, 1]
        *([] if weights_only else rounding),
        helper.make_node("DequantizeLinear", ["integers", "scales", "zeros"], ["w"], axis=1),
        helper.make_node("ConvTranspose", ["x" if weights_only else "xq", "w"], ["y"], "up"),  # [N, 3, 4, 4]
        helper.make_node("Tanh", ["y"], ["images"]),
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["N", 3, 4, 4])],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if name in used
        ],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize(("weights_only", "kind"), [(False, "INT8"), (True, "FLOAT")])
def test_a_layer_is_int8_if_both_of_its_inputs_are(weights_only: bool, kind: str, tmp_path: Path) -> None:
    built = build(Graph.load(quantized_graph(tmp_path / "q.onnx", weights_only)), "rtx", BuildOptions())
    heavy = [layer for layer in built.receipt.layers if layer.multiply_adds]
    assert heavy == [Layer("up", "DECONVOLUTION", kind, 6 * 3 * 4 * 4)]
    assert str(built.receipt) == f"multiply-adds: 100.0% {kind} (network, strongly typed)"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_build_and_leaves_nothing(name: str, exported: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from gantool.__main__ import main\n"
        "from gantool.export.engine import build as engine\n"
        "monitor = engine.monitor\n"
        "def interrupted(trt, stopping):\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    return monitor(trt, stopping)\n"
        "engine.monitor = interrupted\n"
        "main()\n"
    )
    flags: list[str | Path] = ["export", exported / "g.fp16.onnx", "-o", "h", "--engine", "rtx"]
    result = subprocess.run(
        [sys.executable, "-c", script, *flags], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 130, result.stderr
    assert result.stderr.splitlines()[-1] == "gantool: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_progress_is_for_terminals(exported: Path, tmp_path: Path) -> None:
    flags: list[str | Path] = ["export", exported / "g.fp16.onnx", "-o", "h", "--engine", "rtx"]
    code, _, shown = on_a_terminal(*flags, folder=tmp_path)
    assert code == 0
    assert re.search(r"building the engine .* \d+/\d+ ", shown)
    quiet = run_gantool(*flags, cwd=tmp_path, check=True)
    assert "building the engine" not in quiet.stderr


def test_refit_needs_the_graph_of_the_plan_and_a_gpu(work: Path) -> None:
    result = run_gantool("refit", "g.rtx.plan", "g.onnx", cwd=work)
    assert result.returncode == 2
    assert "was built from another graph, g.fp16.onnx" in result.stderr
    result = run_gantool("refit", "g.rtx.plan", "g.fp16.onnx", cwd=work)
    assert (result.returncode, "has its weights" in result.stderr) == (2, True)
    result = run_gantool("refit", "g.fp16.onnx", "g.rtx.plan", cwd=work)
    assert result.returncode == 1
    assert "expected a plan" in result.stderr


def test_a_fixed_batch_is_kept(exported: Path, tmp_path: Path) -> None:
    graph = onnx.load(exported / "g.fp16.onnx")
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    del graph.graph.value_info[:]
    onnx.save(graph, tmp_path / "fixed.onnx")
    assert build(Graph.load(tmp_path / "fixed.onnx"), "rtx", BuildOptions()).batches == (4, 4, 4)


def test_unknown_compute_capability(exported: Path) -> None:
    with pytest.raises(UsageError, match="`compute_capabilities` 87: TensorRT-RTX .* builds for 75, 80, 86"):
        build(Graph.load(exported / "g.fp16.onnx"), "rtx", BuildOptions(compute_capabilities=("86", "87")))


def test_what_cannot_be_parsed_quotes_the_parser(tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match="cannot parse"):
        build(Graph(tmp_path / "g.onnx", b"\x08\x08junk", Metadata({})), "rtx", BuildOptions())


def test_a_graph_that_is_no_generator(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    onnx.save(
        onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]),
        tmp_path / "r.onnx",
    )
    with pytest.raises(GantoolError, match=r"not a gantool generator: .* x float32 \[\?, 4\]"):
        build(Graph.load(tmp_path / "r.onnx"), "rtx", BuildOptions())


def test_from_a_graph_it_needs_no_torch(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "g.fp16.onnx").write_bytes((exported / "g.fp16.onnx").read_bytes())
    for name in ("torch", "onnx", "onnxruntime", "onnxscript"):
        (tmp_path / "blocked").mkdir(exist_ok=True)
        (tmp_path / "blocked" / f"{name}.py").write_text("raise ImportError('blocked')")
    env = {"PYTHONPATH": str(tmp_path / "blocked")}
    result = run_gantool(
        "export", "g.fp16.onnx", "--max-batch", "8", "--opt-batch", "8", cwd=tmp_path, env=env
    )
    assert result.returncode == 0, result.stderr
    sidecar = json.loads((tmp_path / "g.rtx.plan.json").read_text())
    assert sidecar["batch"]["max"] == 8
    assert sidecar["metadata"]["architecture"] == "dcgan"
    assert "gantool generate --engine g.rtx.plan" in result.stdout


def test_fp16_of_a_graph(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "icons.onnx").write_bytes((exported / "g.onnx").read_bytes())
    result = run_gantool("export", "icons.onnx", "--fp16", "--engine", "none", cwd=tmp_path, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"icons.onnx", "icons.fp16.onnx"}
    assert "PSNR" in result.stderr or "equal" in result.stderr


def test_auto_takes_rtx_where_no_gpu_is() -> None:
    assert choose_library("auto") in ("rtx", "tensorrt")
    assert choose_library("none") is None


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2 << 30), ("512MiB", 512 << 20), ("1.5G", 3 << 29), ("64K", 65536)]
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["2", "GiB", "-1GiB", "0GiB", "2GB2", "2TiB", ""])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="2GiB"):
        parse_size(text)


def test_parse_compute_capabilities() -> None:
    assert parse_compute_capabilities("86, 8.9,sm120") == ("86", "89", "120")
    with pytest.raises(UsageError, match="86,89"):
        parse_compute_capabilities("ampere")


@pytest.mark.parametrize("batches", [(0, 1, 1), (2, 1, 3), (1, 9, 8)])
def test_batches_must_rise(batches: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="must rise"):
        BuildOptions(*batches)

"""Real builds with TensorRT-RTX, which needs no GPU for them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest

from conftest import run_gantool
from gantool.export.build_options import BuildOptions, parse_compute_capabilities, parse_size
from gantool.export.engine import build, choose_flavour
from gantool.runtime import GantoolError, UsageError
from gantool.runtime.plan import identify, read_header

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
    assert sidecar["plan_sha256"] == hashlib.sha256(plan.read_bytes()).hexdigest()
    assert sidecar["graph_sha256"] == hashlib.sha256((exported / "g.fp16.onnx").read_bytes()).hexdigest()
    assert sidecar["batch"] == {"min": 1, "opt": 16, "max": 64}
    assert sidecar["metadata"]["latent"] == {"size": 100, "distribution": "normal"}
    assert tuple(sidecar["compute_capabilities"]) == read_header(plan).compute_capabilities
    assert sidecar["receipt"]["shares"] == {"HALF": 1.0}
    assert sidecar["tensors"]["z"] == {"mode": "INPUT", "type": "FLOAT", "shape": [-1, 100]}


def test_an_fp32_graph_gives_an_fp32_engine(exported: Path) -> None:
    built = build(exported / "g.onnx", "rtx", BuildOptions())
    assert built.receipt.shares() == {"FLOAT": 1.0}


def test_options_reach_the_builder(exported: Path, tmp_path: Path) -> None:
    options = BuildOptions(2, 4, 8, workspace=parse_size("256MiB"), compute_capabilities=("86", "89"))
    built = build(exported / "g.fp16.onnx", "rtx", options)
    (tmp_path / "p").write_bytes(built.plan)
    assert read_header(tmp_path / "p").compute_capabilities == ("8.6", "8.9")
    assert built.batches == (2, 4, 8)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--timing-cache", "t"], "takes a timing cache and does not use it"),
        (["--hardware-compatible", "same"], "builds for the compute capabilities of --sm instead"),
        (["--dla", "0"], "has no DLA"),
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


def test_levels_and_verbosity_reach_rtx(exported: Path) -> None:
    options = BuildOptions(builder_level=0, profile_verbosity="detailed")
    assert build(exported / "g.fp16.onnx", "rtx", options).plan != b""


def test_refit_needs_the_graph_of_the_plan_and_a_gpu(work: Path) -> None:
    result = run_gantool("refit", "g.rtx.plan", "g.onnx", cwd=work)
    assert result.returncode == 2
    assert "was built from another graph, g.fp16.onnx" in result.stderr
    result = run_gantool("refit", "g.fp16.onnx", "g.rtx.plan", cwd=work)
    assert result.returncode == 1
    assert "expected a plan" in result.stderr


def test_a_fixed_batch_is_kept(exported: Path, tmp_path: Path) -> None:
    graph = onnx.load(exported / "g.fp16.onnx")
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    del graph.graph.value_info[:]
    onnx.save(graph, tmp_path / "fixed.onnx")
    assert build(tmp_path / "fixed.onnx", "rtx", BuildOptions()).batches == (4, 4, 4)


def test_unknown_compute_capability(exported: Path) -> None:
    with pytest.raises(UsageError, match="--sm 87: TensorRT-RTX .* builds for 75, 80, 86"):
        build(exported / "g.fp16.onnx", "rtx", BuildOptions(compute_capabilities=("86", "87")))


def test_what_cannot_be_parsed_quotes_the_parser(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(b"\x08\x08junk")
    with pytest.raises(GantoolError, match="cannot parse"):
        build(tmp_path / "g.onnx", "rtx", BuildOptions())


def test_a_graph_that_is_no_generator(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    onnx.save(
        onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]),
        tmp_path / "r.onnx",
    )
    with pytest.raises(GantoolError, match=r"no generator of gantool: .* x FLOAT \(-1, 4\)"):
        build(tmp_path / "r.onnx", "rtx", BuildOptions())


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
    assert choose_flavour("auto") in ("rtx", "tensorrt")
    assert choose_flavour("none") is None


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

"""The use of TensorRT's API against the names of each version, and what each version does not have."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gantool.export import progress
from gantool.export.artifact import Graph
from gantool.export.engine import build as engine
from gantool.export.engine import refit
from gantool.export.engine.build import build
from gantool.export.engine.options import BuildOptions
from gantool.runtime.artifacts.sidecar import read_sidecar, sha256, sidecar_path
from gantool.runtime.errors import GantoolError, UsageError, VerificationError
from helpers.fake_builder import TABLE, World, names
from helpers.fake_tensorrt import plan_bytes
from helpers.tiny import tiny_graph

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workspace": {"workspace": 1 << 30},
    "level": {"builder_level": 5},
    "verbosity": {"profile_verbosity": "detailed"},
    "version": {"version_compatible": True},
    "ampere": {"hardware_compatible": "ampere+"},
    "same": {"hardware_compatible": "same"},
    "strip": {"strip_weights": True},
    "dla": {"dla": 0, "max_batch": 8},
}
LACKING = {
    "8.6.1": {"same": "needs TensorRT 10.13.3", "strip": "needs TensorRT 10.0 or newer, here is 8.6.1"},
    "10.3.0": {"same": "needs TensorRT 10.13.3 or newer, here is 10.3.0"},
    "10.16.1": {"dla": "TensorRT 10.16.1 has no DLA"},
    "11.4.1": {},
}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    return tmp_path / "g.onnx"


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("version", TABLE)
def test_every_option_with_every_version(version: str, option: str, graph: Path) -> None:
    world, options = World(version), BuildOptions(**OPTIONS[option])
    if option in LACKING[version]:
        with pytest.raises(UsageError, match=LACKING[version][option]):
            build(Graph.load(graph), "tensorrt", options, world.module())
        return
    built = build(Graph.load(graph), "tensorrt", options, world.module())
    assert built.plan == b"plan"
    assert built.receipt.shares() == {"HALF": 1.0}
    assert [layer.multiply_adds for layer in built.receipt.layers] == [6 * 3 * 4 * 4]
    assert "TF32" not in world.flags
    strong = "NetworkDefinitionCreationFlag.STRONGLY_TYPED" in names(version)
    weak = not strong or (option == "dla" and version != "11.4.1")
    assert ("FP16" in world.flags) == weak
    assert built.receipt.source == ("engine inspector" if weak else "network, strongly typed")
    assert world.shapes["z"] == (((8, 6),) * 3 if option == "dla" else ((1, 6), (16, 6), (64, 6)))
    assert world.limits == ({"WORKSPACE": 1 << 30} if option == "workspace" else {})
    config = world.config
    assert (option == "level") == (config.builder_optimization_level == 5)
    assert ("VERSION_COMPATIBLE" in world.flags) == (option == "version")
    assert ({"STRIP_PLAN", "REFIT_IDENTICAL"} <= world.flags) == (option == "strip")
    level = {"ampere": "AMPERE_PLUS", "same": "SAME_COMPUTE_CAPABILITY"}.get(option)
    assert level in (None, config.hardware_compatibility_level.name)
    assert not weak or world.runtime.engine_host_code_allowed is True
    if option == "dla":
        assert (config.default_device_type.name, config.DLA_core) == ("DLA", 0)
        assert "GPU_FALLBACK" in world.flags


@pytest.mark.parametrize("version", TABLE)
def test_a_conditional_network_has_shapes_for_its_label(version: str, graph: Path) -> None:
    world = World(version, label=True)
    built = build(Graph.load(graph), "tensorrt", BuildOptions(2, 4, 8), world.module())
    assert world.shapes == {"z": ((2, 6), (4, 6), (8, 6)), "label": ((2,), (4,), (8,))}
    assert [tensor.type for tensor in built.tensors if tensor.name == "label"] == [
        "int32" if version == "8.6.1" else "int64"
    ]


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_the_layers_that_dla_does_not_take_are_named(version: str, graph: Path) -> None:
    """DLA shows as one layer without names; what falls back to the GPU has its own."""
    layers = {"up": "HALF", "up_2": "INT8", "up_3": "INT8"}
    engine = [("DLA", "{ForeignNode[up...up_3]}", "HALF"), ("CaskDeconvolutionV2", "up_2", "INT8")]
    built = build(Graph.load(graph), "tensorrt", BuildOptions(dla=0), World(version, layers, engine).module())
    assert built.not_on_dla == ("up_2",)
    assert {layer.name: layer.type for layer in built.receipt.layers if layer.multiply_adds} == layers


def test_dla_does_not_compute_in_fp32(graph: Path) -> None:
    with pytest.raises(UsageError, match="`dla` 0: DLA computes in FP16 and INT8, and g.onnx has neither"):
        build(Graph.load(graph), "tensorrt", BuildOptions(dla=0), World("10.3.0", {"up": "FLOAT"}).module())


@pytest.mark.parametrize("given", [{"min_batch": 8}, {"opt_batch": 8}])
def test_dla_takes_one_batch(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="batches of one size, `max_batch`: leave out `min_batch`"):
        BuildOptions(dla=0, max_batch=8, **given)


def test_the_stand_in_refuses_other_names() -> None:
    trt = World("11.4.1").module()
    with pytest.raises(AttributeError, match="tensorrt 11.4.1 BuilderFlag has no FP16"):
        _ = trt.BuilderFlag.FP16
    with pytest.raises(AttributeError, match="has no max_workspace_size"):
        trt.IBuilderConfig.max_workspace_size = 1


@pytest.mark.parametrize("version", TABLE)
def test_the_timing_cache_is_read_and_written(version: str, graph: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "timing.cache"
    for after in (b"timings, empty", b"timings, timings, empty"):
        build(Graph.load(graph), "tensorrt", BuildOptions(timing_cache=cache), World(version).module())
        assert cache.read_bytes() == after


@pytest.mark.parametrize("content", [b"another file, given by mistake", b"timings of another GPU"])
def test_what_is_no_timing_cache_of_this_gpu_is_not_written_over(
    content: bytes, graph: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "timing.cache"
    cache.write_bytes(content)
    with pytest.raises(GantoolError, match="not a timing cache, or is from another GPU or version"):
        build(Graph.load(graph), "tensorrt", BuildOptions(timing_cache=cache), World("10.3.0").module())
    assert cache.read_bytes() == content


def test_types_that_a_builder_chose_are_read_off_the_engine(graph: Path) -> None:
    """Reformatting has the name of its layer in its own, and a name may be the beginning of another."""
    layers = {"up": "HALF", "up_2": "FLOAT", "up_3": "INT8", "up_4": "HALF"}
    engine = [
        ("Reformat", "Reformatting CopyNode for Input Tensor 0 to up + relu", "FLOAT"),
        ("CaskDeconvolutionV2", "up_2", "FLOAT"),
        ("CaskDeconvolutionV2", "up + relu", "HALF"),
        ("CaskDeconvolutionV2", "net/up_3 + up_3_myl1_0", "INT8"),
    ]
    world = World("8.6.1", layers, engine)
    built = build(Graph.load(graph), "tensorrt", BuildOptions(), world.module())
    found = {layer.name: layer.type for layer in built.receipt.layers if layer.multiply_adds}
    assert found == {**layers, "up_4": "UNKNOWN"}
    shares = "25.0% HALF, 25.0% FLOAT, 25.0% INT8, 25.0% UNKNOWN"
    assert str(built.receipt) == f"multiply-adds: {shares} (engine inspector)"
    # what is to stay FP32 is held there, and nothing else
    assert {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"} <= world.flags
    held = {layer.name for layer in world.network.layers if layer.precision.name == "FLOAT"}
    assert held == {"up_2"}
    forced = {layer.name for layer in world.network.layers if hasattr(layer.get_output(0), "forced")}
    assert forced == {"up_2"}


@pytest.mark.parametrize(("asked", "got"), [("HALF", "FLOAT"), ("INT8", "HALF"), ("INT8", "FLOAT")])
@pytest.mark.parametrize("version", TABLE)
def test_an_engine_in_a_wider_type_fails(version: str, asked: str, got: str, graph: Path) -> None:
    """Only where the builder is free to choose can it happen, and there the receipt tells."""
    world = World(version, {"up": asked}, [("CaskDeconvolutionV2", "up + relu", got)])
    if version == "8.6.1":
        with pytest.raises(VerificationError, match=f"computes up in {got}, and the graph has a lower"):
            build(Graph.load(graph), "tensorrt", BuildOptions(), world.module())
    else:
        assert build(Graph.load(graph), "tensorrt", BuildOptions(), world.module()).receipt.shares() == {
            asked: 1.0
        }


def test_the_receipt_of_an_engine_needs_detailed_verbosity(graph: Path) -> None:
    options = BuildOptions(profile_verbosity="layer")
    with pytest.raises(UsageError, match="from the engine, which needs detailed; leave it out"):
        build(Graph.load(graph), "tensorrt", options, World("8.6.1").module())
    build(Graph.load(graph), "tensorrt", options, World("10.3.0").module())


@pytest.fixture
def stripped(tmp_path: Path) -> Path:
    """Return a plan without weights, its sidecar and its graph, as an export leaves them."""
    plan, graph = tmp_path / "g.plan", tmp_path / "g.onnx"
    plan.write_bytes(plan_bytes("tensorrt", (10, 3, 0, 26)))
    graph.write_bytes(tiny_graph())
    sidecar = {
        "graph": "g.onnx",
        "graph_sha256": sha256(graph),
        "plan_sha256": sha256(plan),
        "stripped": True,
    }
    sidecar_path(plan).write_text(json.dumps(sidecar))
    return plan


def stand_in(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    module = world.module()
    monkeypatch.setattr(refit, "import_library", lambda *_: module)
    monkeypatch.setattr(refit, "import_driver", lambda *_: None)
    monkeypatch.setattr(refit, "driver_problem", lambda _: None)


@pytest.mark.parametrize("version", [version for version in TABLE if version != "8.6.1"])
def test_refit_puts_the_weights_in(version: str, stripped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, World(version))
    out = stripped.with_name("whole.plan")
    refit.refit(stripped, stripped.with_name("g.onnx"), out)
    assert out.read_bytes() == b"with weights"
    sidecar = read_sidecar(out)  # its SHA-256 is that of the new plan
    assert sidecar
    assert (sidecar.stripped, sidecar.graph) == (False, "g.onnx")
    before = read_sidecar(stripped)
    assert before
    assert before.stripped


@pytest.mark.parametrize(
    ("version", "reason"), [("10.3.0", "does not accept the weights"), ("8.6.1", "10.0 or newer")]
)
def test_a_refit_that_fails_leaves_the_plan(
    version: str, reason: str, stripped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(version)
    world.refits = False
    stand_in(monkeypatch, world)
    before = stripped.read_bytes()
    with pytest.raises(GantoolError, match=reason):
        refit.refit(stripped, stripped.with_name("g.onnx"), stripped)
    assert stripped.read_bytes() == before
    assert sorted(path.name for path in stripped.parent.iterdir()) == ["g.onnx", "g.plan", "g.plan.json"]


def test_a_core_that_is_not_there(graph: Path) -> None:
    with pytest.raises(UsageError, match="this device has 1 DLA cores"):
        build(Graph.load(graph), "tensorrt", BuildOptions(dla=1), World("10.3.0").module())


def test_a_signal_ends_the_build_after_the_step(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("10.3.0", steps=50)

    def interrupted(trt: Any, stopping: list[int]) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return progress.monitor(trt, stopping)

    monkeypatch.setattr(engine, "monitor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(Graph.load(graph), "tensorrt", BuildOptions(), world.module())
    assert world.cancelled

"""The use of TensorRT's API against the names of each version, and what each version does not have."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from export.fake_builder import TABLE, World, names
from gantool.export import engine, progress
from gantool.export.build_options import BuildOptions
from gantool.export.engine import build
from gantool.runtime.errors import UsageError, VerificationError
from runtime.tiny import tiny_graph

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workspace": {"workspace": 1 << 30},
    "level": {"builder_level": 5},
    "verbosity": {"profile_verbosity": "detailed"},
    "version": {"version_compatible": True},
    "ampere": {"hardware_compatible": "ampere+"},
    "same": {"hardware_compatible": "same"},
    "strip": {"strip_weights": True},
    "dla": {"dla": 0, "max_batch": 8, "opt_batch": 8},
}
LACKING = {
    "8.6.1": {"same": "needs TensorRT 10.13", "strip": "needs TensorRT 10.0 or newer, here is 8.6.1"},
    "10.3.0": {"same": "needs TensorRT 10.13 or newer, here is 10.3.0"},
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
            build(graph, "tensorrt", options, world.module())
        return
    built = build(graph, "tensorrt", options, world.module())
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
    if option == "dla":
        assert (config.default_device_type.name, config.DLA_core) == ("DLA", 0)
        assert "GPU_FALLBACK" in world.flags
        assert built.not_on_dla == ("up",)


def test_the_stand_in_refuses_other_names() -> None:
    trt = World("11.4.1").module()
    with pytest.raises(AttributeError, match="tensorrt 11.4.1 BuilderFlag has no FP16"):
        _ = trt.BuilderFlag.FP16
    with pytest.raises(AttributeError, match="has no max_workspace_size"):
        trt.IBuilderConfig.max_workspace_size = 1


@pytest.mark.parametrize("version", TABLE)
def test_the_timing_cache_is_read_and_written(version: str, graph: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "timing.cache"
    for before in (b"", b"timings"):
        world = World(version)
        build(graph, "tensorrt", BuildOptions(timing_cache=cache), world.module())
        assert world.cache_in == before
        assert cache.read_bytes() == b"timings"


@pytest.mark.parametrize("version", TABLE)
def test_an_engine_in_fp32_is_no_fp16_engine(version: str, graph: Path) -> None:
    """Only where the builder is free to choose can it happen, and there the receipt tells."""
    world = World(version, engine_type="Float")
    if version == "8.6.1":
        with pytest.raises(VerificationError, match="computes up in FP32, which the graph wants in a lower"):
            build(graph, "tensorrt", BuildOptions(), world.module())
    else:
        assert build(graph, "tensorrt", BuildOptions(), world.module()).receipt.shares() == {"HALF": 1.0}


def test_a_core_that_is_not_there(graph: Path) -> None:
    with pytest.raises(UsageError, match="this device has 1 DLA cores"):
        build(graph, "tensorrt", BuildOptions(dla=1), World("10.3.0").module())


def test_a_signal_ends_the_build_after_the_step(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("10.3.0", steps=50)

    def interrupted(trt: Any, stopping: list[int]) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return progress.monitor(trt, stopping)

    monkeypatch.setattr(engine, "monitor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(graph, "tensorrt", BuildOptions(), world.module())
    assert world.cancelled

"""--lowering auto on a device: the clock and the engines are stand-ins, the graphs are real."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from gantool.export import tune_lowering as choose
from gantool.export.artifact import Graph
from gantool.export.engine.options import BuildOptions
from gantool.export.options import Lowering
from gantool.runtime import GantoolError
from helpers.logs import logged
from helpers.networks import full_graph

SECONDS = {"none": 1.0, "subpixel": 0.5, "phases": 0.48, "dla": 0.3}  # of a batch; the others do not build


class Device:
    """Builds engines that take the seconds above, and looks at what they are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.making: Lowering = "none"
        self.open: list[str] = []
        self.shapes: set[Any] = set()
        monkeypatch.setattr(choose, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(choose, "build", self.build)
        monkeypatch.setattr(choose, "TensorRTBackend", self.load)

    def make(self, lowering: Lowering) -> onnx.ModelProto:
        self.making = lowering
        return full_graph("dcgan16", lowering=lowering)[0]

    def build(self, graph: Graph, library: str, options: BuildOptions) -> Any:
        model = onnx.load_from_string(graph.data[:])
        types = {weight.data_type for weight in model.graph.initializer if len(weight.dims) == 4}
        assert types == {onnx.TensorProto.FLOAT16}
        assert (library, options.batches[1]) == ("tensorrt", 8)
        if self.making not in SECONDS:
            raise GantoolError("the library does not take it")
        return SimpleNamespace(plan=self.making.encode())

    def load(self, plan: Path) -> Any:
        name = plan.read_bytes().decode()
        self.open.append(name)

        def infer(z: Any, label: Any) -> None:
            self.shapes.add((z.shape, label))
            self.now += SECONDS[name]

        return SimpleNamespace(infer=infer, close=lambda: self.open.remove(name))


def test_the_fastest_engine_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    timer = choose.engine_timer("tensorrt", BuildOptions(opt_batch=8), "fp16")

    with logged() as lines:
        assert choose.autotune(device.make, timer) == "phases"
    notes = [line for line in lines if "`lowering`" in line]
    assert notes[0] == "gantool leaves out `lowering` phases-stack: the library does not take it"
    assert notes[1].startswith("gantool leaves out `lowering` cpu")
    assert notes[2].endswith("copies included: none 1.00, subpixel 2.00, phases 2.08")
    assert device.shapes == {((8, 100), None)}
    assert device.open == []  # all freed


def test_the_usual_way_decides_and_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(choose, "time", SimpleNamespace(perf_counter=lambda: now))
    seconds = {"none": (1.0, 2.0), "subpixel": (0.9, 0.3), "phases": (0.8, 0.31)}
    making: list[Lowering] = []

    def make(lowering: Lowering) -> Any:
        making.append(lowering)

    def load(*_: Any) -> dict[str, choose.Run]:
        def run(each: float) -> None:
            nonlocal now
            now += each

        usual, other = seconds[making[-1]]
        return {"A": lambda: run(usual), "B": lambda: run(other)}

    timer = choose.Timer(("none", "subpixel", "phases"), load)
    with logged() as notes:
        assert choose.autotune(make, timer) == "phases"
    assert notes == [
        "`lowering` phases: speed relative to none with A: none 1.00, subpixel 1.11, phases 1.25",
        "with B: none 0.50, subpixel 3.33, phases 3.23; to use it, give `lowering` subpixel",
    ]


def test_the_forms_of_dla_are_measured_for_dla(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    timer = choose.engine_timer("tensorrt", BuildOptions(max_batch=8, dla=0), "fp16")
    assert choose.autotune(device.make, timer) == "dla"


def test_a_little_faster_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    monkeypatch.setitem(SECONDS, "subpixel", 0.97)
    monkeypatch.setitem(SECONDS, "phases", 0.96)
    timer = choose.engine_timer("tensorrt", BuildOptions(opt_batch=8), "fp16")
    assert choose.autotune(device.make, timer) == "none"


def test_none_that_builds_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch)
    for name in list(SECONDS):
        monkeypatch.delitem(SECONDS, name)
    timer = choose.engine_timer("tensorrt", BuildOptions(opt_batch=8), "fp16")
    with pytest.raises(GantoolError, match="runs here; choose one"):
        choose.autotune(device.make, timer)

"""`--lowering auto`: measure the lowerings of a graph with what will run it here, and take the fastest."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from gantool.export.build_options import BuildOptions, Flavour
from gantool.export.engine import SUFFIXES, build
from gantool.export.mixed import apply
from gantool.export.options import LOWERINGS, Low, Lowering
from gantool.export.recipe import Recipe
from gantool.runtime.backends.tensorrt import TensorRTBackend
from gantool.runtime.errors import GantoolError
from gantool.runtime.plan import NAMES

ROUNDS = 7
MARGIN = 1.05  # another form must be faster by this much: machines are noisy
OF_DLA = ("dla", "dla-onehot")

Run = Callable[[], object]  # makes one batch of images


@dataclass(frozen=True)
class Runner:
    """What the graphs are measured with."""

    where: str  # for the note
    lowerings: tuple[Lowering, ...]
    load: Callable[[onnx.ModelProto, ExitStack], Run]  # the stack frees it; GantoolError if it is not taken


def host(batch: int) -> Runner:
    """Measure with ONNX Runtime's CPU provider, in FP32: it computes FP16 in no other way."""
    import onnxruntime

    def load(graph: onnx.ModelProto, _: ExitStack) -> Run:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        data = graph.SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feeds = _feeds(graph, batch)
        return lambda: session.run(None, feeds)

    return Runner(
        f"ONNX Runtime, batch {batch}", tuple(name for name in LOWERINGS if name not in OF_DLA), load
    )


def device(flavour: Flavour, options: BuildOptions, low: Low | None) -> Runner:
    """Measure engines that are built here, in the type asked for beside INT8, whose share comes later."""

    def load(graph: onnx.ModelProto, stack: ExitStack) -> Run:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "g.onnx"
            onnx.save(apply(graph, Recipe(low)) if low else graph, path)
            plan = Path(folder) / f"g{SUFFIXES[flavour]}"
            plan.write_bytes(build(path, flavour, options).plan)
            backend = TensorRTBackend(plan)
        stack.callback(backend.close)
        feeds = _feeds(graph, batch)  # of a graph with a fixed batch that one
        return lambda: backend.infer(feeds["z"], feeds.get("label"))

    batch = options.batches[1]
    lowerings = tuple(name for name in LOWERINGS if name not in OF_DLA or options.dla is not None)
    return Runner(f"{NAMES[flavour]}, batch {batch}, copies included", lowerings, load)


def fastest(
    make: Callable[[Lowering], onnx.ModelProto], runner: Runner, note: Callable[[str], None]
) -> Lowering:
    """Return the fastest lowering; `make` makes the graph of one. What fails is left out, with a note.

    Rounds take turns, so that a change of the machine's pace meets all; each keeps its shortest time. Raises
    GantoolError if none runs.
    """
    best: dict[Lowering, float] = {}
    with ExitStack() as stack:
        runs: dict[Lowering, Run] = {}
        for name in runner.lowerings:
            try:
                runs[name] = runner.load(make(name), stack)
            except GantoolError as error:  # noqa: PERF203 (a handful of rounds, each of seconds)
                note(f"--lowering {name} is left out: {error}")
        for _ in range(ROUNDS):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                best[name] = min(best.get(name, float("inf")), time.perf_counter() - started)
    if not best:
        raise GantoolError(f"--lowering auto: none of {', '.join(runner.lowerings)} runs here; name one")
    base: Lowering = next(iter(best))  # none, wherever that runs
    chosen = min(best, key=lambda name: best[name] * (1 if name == base else MARGIN))
    speeds = ", ".join(f"{name} {best[base] / seconds:.2f}" for name, seconds in best.items())
    note(f"--lowering {chosen}: speed against {base} with {runner.where}: {speeds}")
    return chosen


def _feeds(graph: onnx.ModelProto, batch: int) -> dict[str, Any]:
    """Return zeros for each input."""
    feeds = {}
    for value in graph.graph.input:
        dims = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
        floats = value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        feeds[value.name] = np.zeros(dims, np.float32 if floats else np.int64)
    return feeds

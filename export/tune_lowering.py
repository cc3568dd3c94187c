"""`--lowering auto`: time the lowerings of a graph with the library that will run it, and choose the fastest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from gantool.export.artifact import Graph
from gantool.export.engine.build import SUFFIXES, build
from gantool.export.engine.options import BuildOptions, Library
from gantool.export.graph.external import write_model
from gantool.export.graph.without_tail import without_tail
from gantool.export.options import LOWERINGS, ExportOptions, Lowering
from gantool.export.precision.sensitivity import apply_recipe
from gantool.runtime.artifacts.plan import NAMES
from gantool.runtime.artifacts.recipe import Low, Recipe
from gantool.runtime.backends import providers
from gantool.runtime.backends.tensorrt.runner import TensorRTBackend
from gantool.runtime.errors import GantoolError
from gantool.runtime.generator import load_backend
from gantool.runtime.progress import track
from gantool.runtime.spec import Backend, Batch

_log = logging.getLogger(__name__)

ROUNDS = 7
MARGIN = 1.05  # another lowering must be faster than the first by this factor, since timings are noisy
OF_DLA = ("dla", "dla-onehot")

Run = Callable[[], object]  # generates a few batches of images


@dataclass(frozen=True)
class Timer:
    """The lowerings to time, and how to load a graph for timing."""

    lowerings: tuple[Lowering, ...]
    # Returns the runs of a graph by the name of their backend, the default backend first; the stack closes them.
    # Raises GantoolError if the default backend does not accept the graph.
    load: Callable[[onnx.ModelProto, ExitStack], dict[str, Run]]


def timer_for(options: ExportOptions, build_options: BuildOptions, library: Library | None) -> Timer | None:
    """Return the timer for `--lowering auto`; None for another lowering."""
    if options.lowering != "auto":
        return None
    if library is None:
        return cpu_timer(build_options.batches[1])
    return engine_timer(library, build_options, options.precision.low)


def cpu_timer(batch: int) -> Timer:
    """Time the FP32 graph on this CPU with each installed provider, first the default of `gantool generate`."""
    usual = "openvino" if providers.choose("auto") == "openvino" else "cpu"
    packages = {"cpu": "onnxruntime", "openvino": "openvino"}
    names = [name for name in sorted(packages, key=lambda name: name != usual) if find_spec(packages[name])]

    def load(graph: onnx.ModelProto, stack: ExitStack) -> dict[str, Run]:
        feeds = _feeds(graph, batch)
        batches = [Batch(feeds["z"], feeds.get("label"))] * 4
        runs: dict[str, Run] = {}
        with TemporaryDirectory() as folder:
            path = Path(folder) / "g.onnx"
            write_model(graph, path)
            for name in names:
                try:
                    backend = load_backend(path, name)
                    stack.callback(backend.close)
                    _run_all(backend, batches)  # warms up
                except GantoolError:
                    if name == usual:
                        raise
                    continue
                runs[f"--provider {name}, batch {batch}"] = partial(_run_all, backend, batches)
        return runs

    return Timer(tuple(name for name in LOWERINGS if name not in OF_DLA), load)


def _run_all(backend: Backend, batches: Iterable[Batch]) -> None:
    for _ in backend.infer_each(batches):
        pass


def engine_timer(library: Library, options: BuildOptions, low: Low | None) -> Timer:
    """Time engines that are built here, in `low` (None: FP32); INT8 is calibrated later and not timed."""

    def load(graph: onnx.ModelProto, stack: ExitStack) -> dict[str, Run]:
        model = without_tail(apply_recipe(graph, Recipe(low)) if low else graph)
        with TemporaryDirectory() as folder:
            plan = Path(folder) / f"g{SUFFIXES[library]}"
            lowered = Graph.of_data(Path("g.onnx"), model.SerializeToString())
            plan.write_bytes(build(lowered, library, options).plan)
            backend = TensorRTBackend(plan)
        stack.callback(backend.close)
        feeds = _feeds(graph, batch)  # a fixed batch takes precedence
        return {where: lambda: backend.infer(feeds["z"], feeds.get("label"))}

    batch = options.batches[1]
    lowerings = tuple(name for name in LOWERINGS if name not in OF_DLA or options.dla is not None)
    where = f"{NAMES[library]}, batch {batch}, copies included"
    return Timer(lowerings, load)


def autotune(make: Callable[[Lowering], onnx.ModelProto], timer: Timer) -> Lowering:
    """Return the lowering that is fastest with the default backend. `make` returns the graph of a lowering.

    Lowerings that fail are left out. The rounds interleave the lowerings, so that a change of clock rates affects
    all; the shortest time counts. Raises GantoolError if none runs.
    """
    best: dict[tuple[str, Lowering], float] = {}
    with ExitStack() as stack:
        runs: dict[tuple[str, Lowering], Run] = {}
        for name in timer.lowerings:
            try:
                runs |= {(where, name): run for where, run in timer.load(make(name), stack).items()}
            except GantoolError as error:  # noqa: PERF203 (a handful of rounds, each of seconds)
                _log.warning(f"gantool leaves out `lowering` {name}: {error}")
        for _ in track(range(ROUNDS), "timing lowerings", ROUNDS):
            for key, run in runs.items():
                started = time.perf_counter()
                run()
                best[key] = min(best.get(key, float("inf")), time.perf_counter() - started)
    if not best:
        raise GantoolError(
            f"`lowering` auto: none of {', '.join(timer.lowerings)} runs here; choose one by name"
        )
    usual, base = next(iter(best))  # `none`, if it runs
    speeds: dict[str, dict[Lowering, float]] = {}
    for (where, name), seconds in best.items():
        speeds.setdefault(where, {})[name] = best[usual, base] / seconds
    chosen = max(speeds[usual], key=lambda name: speeds[usual][name] * (MARGIN if name == base else 1))
    for where, of_where in speeds.items():
        shown = ", ".join(f"{name} {speed:.2f}" for name, speed in of_where.items())
        if where == usual:
            _log.info(f"`lowering` {chosen}: speed relative to {base} with {where}: {shown}")
            continue
        best_here = max(of_where, key=lambda name: of_where[name])
        faster = of_where[best_here] > MARGIN * speeds[usual][chosen]
        _log.info(f"with {where}: {shown}" + (f"; to use it, give `lowering` {best_here}" if faster else ""))
    return chosen


def _feeds(graph: onnx.ModelProto, batch: int) -> dict[str, Any]:
    """Return zeros for each input."""
    feeds = {}
    for value in graph.graph.input:
        dims = [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
        floats = value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        feeds[value.name] = np.zeros(dims, np.float32 if floats else np.int64)
    return feeds

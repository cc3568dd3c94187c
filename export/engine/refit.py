"""Put the weights of a graph into a plan that was built without them, on the device. Needs no torch or onnx."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from gantool.runtime.artifacts.plan import NAMES, read_header
from gantool.runtime.artifacts.sidecar import read_sidecar, sha256, write_sidecar
from gantool.runtime.backends.tensorrt.cuda import driver_problem, import_driver
from gantool.runtime.backends.tensorrt.library import (
    error_logger,
    import_library,
    load_error,
    no_gpu_error,
    pip_extra,
)
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic


def refit(plan: Path, graph: Path, out: Path) -> None:
    """Write the plan with its weights, and its sidecar, to `out`.

    Raises UsageError if the plan was built from another graph, EngineMismatchError without a GPU, and GantoolError,
    quoting the library, if it does not accept the weights.
    """
    header = read_header(plan)
    if not graph.is_file():
        raise GantoolError(f"there is no graph {graph}")
    sidecar = read_sidecar(plan)
    if sidecar and sidecar.graph_sha256 != sha256(graph):
        raise UsageError(f"{plan} was built from another graph, {sidecar.graph}: {graph} has another SHA-256")
    if sidecar and not sidecar.stripped:
        raise UsageError(f"{plan} has its weights already: refit is for plans of --strip-weights")
    purpose = f"refitting {plan.name}"
    if (problem := driver_problem(import_driver(pip_extra(header.kind), purpose))) is not None:
        raise no_gpu_error(plan, header, problem)
    trt = import_library(header.kind, purpose)
    if not hasattr(trt, "OnnxParserRefitter"):
        raise UsageError(f"gantool refit needs {NAMES[header.kind]} 10.0 or newer, here is {trt.__version__}")
    logger = error_logger(trt)
    logger.errors.clear()
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise load_error(plan, header, trt, _first(logger))
    whole = refitted(trt, engine, graph, logger)
    with atomic(out) as part:
        part.write_bytes(whole)
    if sidecar:
        write_sidecar(out, sidecar.of_refitted(sha256(out)))


def refitted(trt: ModuleType, engine: Any, graph: Path, logger: Any) -> bytes:
    """Return the plan of an engine after loading the weights of `graph`."""
    refitter = trt.Refitter(engine, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_file(str(graph)) or not refitter.refit_cuda_engine():
        raise GantoolError(
            f"the plan does not accept the weights of {graph}: {_first(logger)}; build it again with "
            "--strip-weights"
        )
    config = engine.create_serialization_config()
    config.clear_flag(trt.SerializationFlag.EXCLUDE_WEIGHTS)
    return bytes(engine.serialize_with_config(config))


def _first(logger: Any) -> str:
    return str(logger.errors[0]) if logger.errors else "it gives no reason"

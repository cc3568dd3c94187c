"""Import the library that a plan needs, TensorRT or TensorRT-RTX, and explain why a plan does not load."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import Any

from gantool.runtime.artifacts.plan import NAMES, Kind, PlanHeader, describe, version_text
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, pip_install


def pip_extra(kind: Kind) -> str:
    """Return the extra of gantool that installs the packages for a plan of this kind on this machine."""
    if kind == "rtx":
        return "rtx"
    return "jetson" if Path("/etc/nv_tegra_release").exists() else "tensorrt"


def import_library(kind: Kind, purpose: str) -> Any:
    """Return the module `tensorrt` or `tensorrt_rtx`.

    Raises MissingDependencyError, or GantoolError if it is installed but does not load.
    """
    name = "tensorrt_rtx" if kind == "rtx" else "tensorrt"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        jetson = " (a Jetson has it from JetPack, in the system's Python: venv --system-site-packages)"
        package = name if kind == "rtx" else name + jetson
        raise MissingDependencyError(package, pip_extra(kind), purpose) from error
    except (
        ImportError,
        OSError,
    ) as error:  # the bindings are installed, but not the libraries that they load
        command = pip_install(pip_extra(kind), "--force-reinstall ")
        raise GantoolError(f"{name} is installed but does not load ({error}): {command}") from error


@cache  # one per process: TensorRT keeps using the first logger that it gets
def error_logger(trt: Any) -> Any:
    """Return an ILogger that collects errors in its list `errors`, each on one line."""

    class ErrorLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(" ".join(msg.split()))

    return ErrorLogger()


def version_problem(path: Path, header: PlanHeader, trt: Any) -> str | None:
    """Return a message if another version of the library built the plan, or None."""
    # the version of JetPack's module has three numbers, that of a wheel four
    here = tuple(map(int, takewhile(str.isdecimal, str(trt.__version__).split("."))))[:4]
    if header.version[: len(here)] == here:
        return None
    built = f"{NAMES[header.kind]} {version_text(header.version)}"
    command = f"gantool export {quote(str(source_graph(path)))}"
    return f"{path} was built with {built}, here is {trt.__version__}: rebuild it with {command}"


def no_gpu_error(path: Path, header: PlanHeader, problem: str) -> EngineMismatchError:
    """Return the error for a machine without a driver. It tells the user that the ONNX graph runs there."""
    graph = source_graph(path)
    where = "beside it" if graph.exists() else f"it was built from ({graph.name}, not beside it)"
    return EngineMismatchError(
        f"{path} is a {describe(header)}, and {problem}; the ONNX graph {where} runs on this machine: "
        f"gantool generate --engine {quote(str(graph))}"
    )


def load_error(path: Path, header: PlanHeader, trt: Any, reason: str) -> GantoolError:
    """Return the error for a plan that the library did not load. `reason`: what the library logged."""
    name = NAMES[header.kind]
    if (problem := version_problem(path, header, trt)) is not None:
        return EngineMismatchError(f"{problem} ({name} says: {reason})")
    message = f"{name} does not load {path}, a {describe(header)}: {reason}"
    if any(words in reason for words in _BUILT_ELSEWHERE):
        return EngineMismatchError(
            f"{message}; rebuild it here with gantool export {quote(str(source_graph(path)))}"
        )
    return GantoolError(
        f"{message}; copy it again, or rebuild it with gantool export {quote(str(source_graph(path)))}"
    )


# If the library logs one of these, the plan is intact but was built for another GPU or driver.
_BUILT_ELSEWHERE = (
    "incompatible device",
    "cannot run on this GPU",
    "current device is not compatible",
    "Platform specific tag mismatch",
    "incompatible CUDA driver version",
    "CUDA driver version is insufficient",
)


def source_graph(path: Path) -> Path:
    """Return the path of the ONNX graph that a plan was built from, by its sidecar or name; it may not exist."""
    with suppress(GantoolError):  # the plan or its sidecar is damaged, which another check reports
        sidecar = read_sidecar(path)
        if sidecar and sidecar.graph and sidecar.graph == Path(sidecar.graph).name:
            return path.with_name(sidecar.graph)
    stem = path.name.removesuffix(".plan").removesuffix(".rtx")
    names = [path.with_name(f"{stem}{kind}.onnx") for kind in (".fp16", ".int8", ".bf16", "")]
    return next((graph for graph in names if graph.exists()), names[0])

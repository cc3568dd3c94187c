"""The providers that run an ONNX graph, by the names that --provider takes."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

from gantool.runtime.backends.quiet import import_onnxruntime
from gantool.runtime.errors import MissingDependencyError, UsageError

# ONNX Runtime's; OpenVINO runs through its own library.
OF_ONNX_RUNTIME = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
PROVIDERS = (*OF_ONNX_RUNTIME, "openvino")


def choose(provider: str) -> str:
    """Return `provider`; for auto cuda if ONNX Runtime was built with it, else openvino if it is installed and the
    CPU is Intel's, else cpu.

    Raises UsageError for an unknown name, and MissingDependencyError where neither library is installed.
    """
    if provider in PROVIDERS:
        return provider
    if provider != "auto":
        raise UsageError(f"`provider` {provider} is unknown: choose auto, {', '.join(PROVIDERS)}")
    openvino = find_spec("openvino") is not None
    if not find_spec("onnxruntime"):
        if openvino:
            return "openvino"
        raise MissingDependencyError("onnxruntime", "cpu", "running an ONNX graph")
    onnxruntime = import_onnxruntime()

    if OF_ONNX_RUNTIME["cuda"] in onnxruntime.get_available_providers():
        return "cuda"
    return "openvino" if openvino and _cpu_of_intel() else "cpu"


def adds_int8_exactly() -> bool:
    """Tell whether this CPU adds up products of INT8 in 32 bits, as an INT8 graph means it.

    One of x86 without VNNI adds pairs of them in 16 bits, which saturate: up to 100 grey levels were lost.
    """
    return platform.machine().lower() not in ("x86_64", "amd64") or "vnni" in _cpu()


def _cpu_of_intel() -> bool:
    return "GenuineIntel" in _cpu()


def _cpu() -> str:
    """Return what the system tells of the CPU."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # Windows tells it there
        return platform.processor()

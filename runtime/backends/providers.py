"""The providers that run an ONNX graph, by the names that --provider takes."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path

from gantool.runtime.backends.quiet import import_onnxruntime
from gantool.runtime.errors import MissingDependencyError, UsageError

# Providers of ONNX Runtime. OpenVINO runs through its own library.
OF_ONNX_RUNTIME = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
PROVIDERS = (*OF_ONNX_RUNTIME, "openvino")


def choose(provider: str) -> str:
    """Return the provider to use: `provider` itself, or for auto the first that fits.

    cuda if ONNX Runtime was built with it, else openvino if it is installed and the CPU is Intel's, else cpu.
    Raises UsageError for an unknown name, and MissingDependencyError if neither library is installed.
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
    return "openvino" if openvino and _is_intel() else "cpu"


def usable() -> tuple[str, ...]:
    """Return the providers whose libraries are installed, first the default. tensorrt takes minutes to load."""
    packages = {"cpu": "onnxruntime", "openvino": "openvino"}
    found = {name for name, package in packages.items() if find_spec(package)}
    if not found:
        return ()
    usual = choose("auto")
    return (usual, *sorted(found - {usual}))


def adds_int8_exactly() -> bool:
    """Return whether this CPU accumulates INT8 products in 32 bits, as an INT8 graph requires.

    An x86 CPU without VNNI adds pairs of products in 16 bits, which saturate: errors of up to 100 grey levels were
    measured.
    """
    return platform.machine().lower() not in ("x86_64", "amd64") or "vnni" in _cpu_description()


def _is_intel() -> bool:
    return "GenuineIntel" in _cpu_description()


def _cpu_description() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # Windows
        return platform.processor()

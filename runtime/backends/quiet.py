"""The one place that imports ONNX Runtime and OpenVINO: without telemetry and log lines."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np

from gantool.runtime.process.interrupt import when_stopped


def import_onnxruntime(module: str = "onnxruntime") -> Any:
    """Return ONNX Runtime, or a module of it. Raises ModuleNotFoundError.

    Since 1.32, importing it writes a device ID and an event into the home folder, so telemetry must be off before.
    If ORT_DISABLE_TELEMETRY is already set, its value stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module(module)


def import_core() -> Any:
    """Return OpenVINO's class `Core`. Raises ImportError.

    OpenVINO reports each import through the package openvino_telemetry, so this hides that package meanwhile.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules  # otherwise the calling program uses it
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # makes its import raise ModuleNotFoundError
    try:
        from openvino import Core, Tensor
    finally:
        if hidden:
            del sys.modules[name]
    # The bindings import NumPy when they convert their first array. Two threads that do so at once deadlock
    # (openvino 2026.4), so this converts one first.
    _ = Tensor(np.zeros(1, np.float32)).data
    return Core


def core() -> Any:
    """Return the `Core` of this process, which is never freed. Raises ImportError.

    On CPUs with AVX-512 or AMX, the CPU plugin installs a stack for signal handlers, and restores the previous one
    when its Core is freed. With two Cores, the restored stack may be freed memory: the next signal crashes the
    process (openvino 2026.4).
    """
    with _lock:
        return _core()


@cache
def _core() -> Any:
    return import_core()()


_lock = Lock()


@cache
def run_options() -> Any:
    """Return ONNX Runtime's options for a run that ends after Ctrl-C or SIGTERM, even in an endless loop."""
    options = import_onnxruntime().RunOptions()
    options.log_severity_level = 4  # errors are raised
    when_stopped(lambda: setattr(options, "terminate", True))
    return options

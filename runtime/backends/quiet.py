"""The one way to import ONNX Runtime and OpenVINO: without usage data, without log lines."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from gantool.runtime.process.interrupt import when_stopped


def import_onnxruntime(module: str = "onnxruntime") -> Any:
    """Return ONNX Runtime, or a module of it. Raises ModuleNotFoundError.

    Since 1.32 its import writes a device number and an event into the home folder, so telemetry must be off before.
    A value of ORT_DISABLE_TELEMETRY that is set already stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module(module)


def import_core() -> Any:
    """Return OpenVINO's class `Core`. Raises ImportError.

    It reports each import through the package openvino_telemetry, so that package is hidden meanwhile.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules  # else the program itself uses it
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that it is not there
    try:
        from openvino import Core, Tensor
    finally:
        if hidden:
            del sys.modules[name]
    # Its bindings look NumPy up when the first array passes, and two threads that do so at once wait for each other
    # for ever (openvino 2026.4): so one passes here.
    _ = Tensor(np.zeros(1, np.float32)).data
    return Core


@cache
def run_options() -> Any:
    """Return ONNX Runtime's options for a run that stops when the process is told to, even in an endless loop."""
    options = import_onnxruntime().RunOptions()
    options.log_severity_level = 4  # what fails is raised
    when_stopped(lambda: setattr(options, "terminate", True))
    return options

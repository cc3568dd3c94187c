"""Import the engines that collect usage data, with that switched off."""

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

    From 1.32 on it writes a number of the device and an event into the home folder while it is imported; afterwards
    it is too late. Who sets ORT_DISABLE_TELEMETRY chooses otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module(module)


def import_core() -> Any:
    """Return OpenVINO's class `Core`. Raises ImportError.

    It reports each import through the package openvino_telemetry, without which it does not.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules  # else the program has it for itself
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
    """Return ONNX Runtime's options of a run that ends when the process is to end: also a loop without end does."""
    options = import_onnxruntime().RunOptions()
    options.log_severity_level = 4  # what fails is raised
    when_stopped(lambda: setattr(options, "terminate", True))
    return options

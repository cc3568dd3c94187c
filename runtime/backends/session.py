"""The one place that opens ONNX Runtime sessions: quiet, without telemetry or files of the current folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from gantool.runtime.backends.quiet import import_onnxruntime
from gantool.runtime.process.terminal import short

# ONNX Runtime's levels of optimization, the fastest first.
LEVELS = ("ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC", "ORT_DISABLE_ALL")
CPU = "CPUExecutionProvider"
_READ = 4000  # characters of a message of ONNX Runtime


def open_session(
    model: bytes | Path, threads: int = 0, level: str = LEVELS[0], provider: str = CPU, *, spin: bool = True
) -> Any:
    """Return a session of a graph. `threads`: 0 means one per core. `level`: one of LEVELS.

    `spin`: its threads burn CPU time for a moment after each layer, which is faster where nothing else needs it.

    A graph that is passed as bytes must have its weights inside. Raises ModuleNotFoundError without ONNX Runtime,
    and ONNX Runtime's own exceptions, which have no common base class, for a graph that it cannot load.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and the caller reports them once
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if isinstance(model, bytes):
        # ONNX Runtime would look for external weights in the current folder; in os.devnull it finds none.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    if provider == CPU:
        # It has no INT8 kernels for the layers of an INT8 graph, and would dequantize their weights in every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=[provider])


def said(error: Exception) -> str:
    """Return ONNX Runtime's message in one line, without error codes and references to its source code."""
    text = _message(error) or type(error).__name__
    text = re.sub(r"^.*?\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"(?<!\S)\S*/onnxruntime\S*?\.(?:cc|h):\d+ ", "", text)
    text = re.sub(r"(?:(?<!\w)\w+ )?onnxruntime::[\w:<>~]+\([^()]*\) (?:const )?", "", text)
    return short(text.rstrip(" ."), 300)


def refused(error: Exception) -> str:
    """Return why ONNX Runtime rejects a graph and what the user can do; "" if the error is not a known one."""
    text = _message(error)
    if found := re.search(r"Opset (\d+) is under development.* till opset (\d+)", text):
        return _too_new("opset", *found.groups())
    if found := re.search(r"IR version: (\d+), max supported IR version: (\d+)", text):
        return _too_new("IR version", *found.groups())
    if found := re.search(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op", text):
        return f"{found[1]} is not a standard operator: export the generator with standard ONNX operators"
    return ""


def _message(error: Exception) -> str:
    """Return the beginning of a message in one line. It quotes names in the graph, which have any length."""
    return " ".join(str(error)[:_READ].split())


def _too_new(what: str, wanted: str, newest: str) -> str:
    return (
        f"it needs {what} {wanted}, and this ONNX Runtime reads up to {newest}: export it with an older one, or "
        "install a newer onnxruntime"
    )

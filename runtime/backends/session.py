"""The one way to open a session of ONNX Runtime: quiet, without telemetry or files of the current folder."""

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


def open_session(model: bytes | Path, threads: int = 0, level: str = LEVELS[0], provider: str = CPU) -> Any:
    """Return a session of a graph; `threads` 0 is one a core, `level` one of LEVELS.

    A graph that is given as bytes has its weights inside. Raises ModuleNotFoundError without ONNX Runtime, and
    what ONNX Runtime raises for a graph that it does not take: its exceptions have no common base.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and said once, by who asked
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if isinstance(model, bytes):
        # It would look for weights outside of the graph in the current folder; here it finds none.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    if provider == CPU:
        # It has no INT8 form of the layers of an INT8 graph, and would make their weights float in every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=[provider])


def said(error: Exception) -> str:
    """Return what ONNX Runtime says, in one line, without its codes and what is of its own source."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^.*?\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"\S*/onnxruntime\S*?\.(?:cc|h):\d+ ", "", text)
    text = re.sub(r"(?:\w+ )?onnxruntime::[\w:<>~]+\([^()]*\) (?:const )?", "", text)
    return short(text.rstrip(" ."), 300)


def refused(error: Exception) -> str:
    """Return why ONNX Runtime takes no graph like this, and what helps; "" where it is not known."""
    text = " ".join(str(error).split())
    if found := re.search(r"Opset (\d+) is under development.* till opset (\d+)", text):
        return _too_new("opset", *found.groups())
    if found := re.search(r"IR version: (\d+), max supported IR version: (\d+)", text):
        return _too_new("IR version", *found.groups())
    if found := re.search(r"([\w.]+:\w+)\(-?\d+\) is not a registered function/op", text):
        return f"{found[1]} is an operator of its own: export the generator with standard ONNX operators"
    return ""


def _too_new(what: str, wanted: str, newest: str) -> str:
    return (
        f"it needs {what} {wanted}, and this ONNX Runtime reads up to {newest}: export it with an older one, or "
        "install a newer onnxruntime"
    )

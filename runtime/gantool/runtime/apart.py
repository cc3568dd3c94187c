"""Try a graph in a process of its own: where ONNX Runtime ends the process, only that one ends.

ONNX Runtime 1.32 dies of a segmentation fault while it optimizes attention in FP16, and what else it does with a
graph that somebody made is not known before it is tried.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gantool.runtime.child import python
from gantool.runtime.errors import GantoolError

# ONNX Runtime's levels of optimization, the fastest first.
LEVELS = ("ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC", "ORT_DISABLE_ALL")
SESSION_KEY = "gantool_session"  # under which a graph's metadata hold {"optimization": one of LEVELS}
# A session made of bytes looks for weights outside of the graph in the current folder; here it finds none.
NO_FILES = ("session.model_external_initializers_file_folder_path", os.devnull)
_DONE = b"gantool: done"


def level_that_works(path: Path, data: bytes) -> str:
    """Return the first of LEVELS with which ONNX Runtime loads and runs `data`, the graph of `path`, on the CPU.

    A graph that it refuses in words counts as one that works: who loads it next hears them.
    Raises GantoolError if the process dies with each.
    """
    ends = []
    for level in LEVELS:
        command = python("gantool.runtime.apart", level)
        result = subprocess.run(command, input=data, capture_output=True, check=False)
        if result.stdout.endswith(_DONE):
            return level
        if result.returncode in (-signal.SIGINT, -signal.SIGTERM, 130):
            raise KeyboardInterrupt
        ends.append(_ending(result.returncode))
    from gantool.runtime.backends.quiet import import_onnxruntime

    version = import_onnxruntime().__version__
    raise GantoolError(
        f"ONNX Runtime {version} crashes on {path} ({ends[0]}), with every level of optimization: run it with "
        "--provider openvino, install another onnxruntime, or export it anew"
    )


def settings_of(level: str) -> Any:
    """Return ONNX Runtime's constant for one of LEVELS. Raises GantoolError for another word."""
    if level not in LEVELS:
        raise GantoolError(
            f"the `{SESSION_KEY}` metadata name no level of optimization: export the graph again"
        )
    from gantool.runtime.backends.quiet import import_onnxruntime

    return getattr(import_onnxruntime().GraphOptimizationLevel, level)


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ends with code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _try(data: bytes, level: str) -> None:
    """Load a graph and run it once on zeros."""
    import numpy as np

    from gantool.runtime.backends.quiet import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = settings_of(level)
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry(*NO_FILES)
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    kinds = {"float": "float32", "double": "float64"}
    feeds = {
        value.name: np.zeros(
            [side if isinstance(side, int) else 1 for side in value.shape],
            kinds.get(value.type[7:-1], value.type[7:-1]),
        )
        for value in session.get_inputs()
    }
    session.run(None, feeds)


if __name__ == "__main__":
    with suppress(Exception):  # said by who loads it next
        _try(sys.stdin.buffer.read(), sys.argv[1])
    sys.stdout.buffer.write(_DONE)

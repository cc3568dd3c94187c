"""`--lowering auto`: measure the lowerings of a graph with ONNX Runtime on this machine and take the fastest."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime

from gantool.export.lowering import lower
from gantool.export.options import LOWERINGS, Lowering

BATCH, ROUNDS = 16, 7
MARGIN = 1.05  # another form must be faster by this much: machines are noisy


def fastest(model: ir.Model, note: Callable[[str], None]) -> Lowering:
    """Return the fastest lowering of a float graph, left as it is; the DLA forms are for DLA alone.

    Rounds take turns, so that a change of the machine's pace meets all; each keeps its shortest time.
    """
    proto = ir.to_proto(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    sessions = {}
    for name in LOWERINGS:
        candidate = ir.from_proto(proto)
        if not name.startswith("dla") and not lower(candidate, name).refused:
            data = ir.to_proto(candidate).SerializeToString()
            sessions[name] = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feeds = {}
    for value in sessions["none"].get_inputs():
        shape = [side if isinstance(side, int) else BATCH for side in value.shape]
        feeds[value.name] = np.zeros(shape, np.float32 if value.type == "tensor(float)" else np.int64)
    best = dict.fromkeys(sessions, float("inf"))
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(None, feeds)
            best[name] = min(best[name], time.perf_counter() - started)
    chosen = min(best, key=lambda name: best[name] * (1 if name == "none" else MARGIN))
    speeds = ", ".join(f"{name} {best['none'] / seconds:.2f}" for name, seconds in best.items())
    note(f"--lowering {chosen}: speed against none with ONNX Runtime, batch {BATCH}: {speeds}")
    return chosen

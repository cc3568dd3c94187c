"""Try a graph in a separate process: if a library crashes, only that process ends.

ONNX Runtime 1.32 crashes with a segmentation fault while it optimizes attention in FP16, and other graphs may crash
it too. The graph's metadata are no proof of its origin: they stay when another tool rewrites the graph. So each
graph is tried once on each machine and with each version of the library. The cache keeps the result by the graph's
bytes.
"""

from __future__ import annotations

import hashlib
import platform
import signal
import subprocess
import sys
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import Any

from gantool.runtime.artifacts.onnx import content
from gantool.runtime.backends.session import LEVELS, open_session
from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import write_whole
from gantool.runtime.process.child import python

_OPENVINO = "openvino"
_DONE = b"gantool: done"


def level_that_works(path: Path, data: bytes | mmap | None = None) -> str:
    """Return the first of LEVELS with which ONNX Runtime loads and runs a graph on the CPU.

    `data`: the bytes of the file `path`. With None, the child process reads the file, with the weights beside it.
    If ONNX Runtime rejects the graph with an error, that level counts as working: the next session raises the
    error. Raises GantoolError if the process crashes with every level.
    """
    from gantool.runtime.backends.quiet import import_onnxruntime

    try:
        version = import_onnxruntime().__version__
    except ModuleNotFoundError:  # the next session raises it again
        return LEVELS[0]
    advice = ", with every optimization level: run it with --provider openvino, install another onnxruntime"
    return _first_that_works(path, data, f"ONNX Runtime {version}", LEVELS, advice)


def check_openvino(path: Path, data: mmap, version: str) -> None:
    """Raise GantoolError if OpenVINO crashes on a graph. `data`: the bytes of the file `path`."""
    _first_that_works(path, data, f"OpenVINO {version}", (_OPENVINO,), ": run it with --provider cpu")


def _first_that_works(
    path: Path, data: bytes | mmap | None, library: str, ways: tuple[str, ...], advice: str
) -> str:
    kept = None if data is None else _kept(path, data, library)
    if kept is not None:
        with suppress(OSError, ValueError):
            if (way := kept.read_text(encoding="ascii")) in ways:
                return way
    ends = []
    for way in ways:
        command = python("gantool.runtime.process.apart", way, *([path] if data is None else []))
        result = subprocess.run(command, input=data and data[:], capture_output=True, check=False)
        if result.stdout.endswith(_DONE):
            if kept is not None:
                with suppress(OSError):
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(str(kept.parent), kept.name, way.encode())
            return way
        if result.returncode in (-signal.SIGINT, -signal.SIGTERM, 130):
            raise KeyboardInterrupt
        ends.append(_ending(result.returncode))
    raise GantoolError(f"{library} crashes on {path} ({ends[0]}){advice}, or export it again")


def _kept(path: Path, data: bytes | mmap, library: str) -> Path:
    """Return the cache file with the result for a graph, named by its bytes without its metadata."""
    digest = hashlib.sha256(f"{library} {platform.machine()}".encode())
    for part in content(path, data):
        digest.update(part)
    return cache_dir() / "graphs" / digest.hexdigest()[:32]


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ends with code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _try(model: bytes | Path, way: str) -> None:
    """Load a graph and run it once on zeros."""
    if way == _OPENVINO:
        _try_openvino(model)
        return
    session = open_session(model, 1, way)
    session.run(None, {value.name: _zeros(value.shape, value.type[7:-1]) for value in session.get_inputs()})


def _try_openvino(model: bytes | Path) -> None:
    from gantool.runtime.backends.quiet import core

    compiled = core().compile_model(core().read_model(model), "CPU")
    kinds = {"f32": "float32", "f64": "float64", "f16": "float16", "i64": "int64", "i32": "int32"}
    feeds = {}
    for index, port in enumerate(compiled.inputs):
        shape = [side.get_length() if side.is_static else 1 for side in port.partial_shape]
        name = port.element_type.to_string()
        feeds[index] = _zeros(shape, kinds.get(name, name))
    compiled(feeds)


def _zeros(shape: list[Any], kind: str) -> Any:
    import numpy as np

    kinds = {"float": "float32", "double": "float64"}
    return np.zeros([side if isinstance(side, int) else 1 for side in shape], kinds.get(kind, kind))


if __name__ == "__main__":
    way, *given = sys.argv[1:]
    with suppress(Exception):  # the next session raises it again
        _try(Path(given[0]) if given else sys.stdin.buffer.read(), way)
    sys.stdout.buffer.write(_DONE)

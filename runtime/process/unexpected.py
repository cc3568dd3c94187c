"""Write the details of an unexpected error to a file, for a bug report."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import join

from gantool.runtime.cache import cache_dir

_PACKAGES = ("gantool", "numpy", "pillow", "typer", "torch", "onnx", "onnxruntime", "openvino", "tensorrt")


def write_report(error: Exception, arguments: list[str]) -> Path:
    """Write versions, command and traceback to a file in the cache folder or a temporary one; return its path."""
    text = "\n".join(
        (
            f"gantool {join(arguments)}",
            f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}",
            ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name))),
            "",
            *traceback.format_exception(error),
        )
    )
    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    with suppress(OSError, RuntimeError):  # no home folder, or a read-only one
        path = cache_dir() / "errors" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
        return path
    path = Path(tempfile.mkdtemp(prefix="gantool-")) / name
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

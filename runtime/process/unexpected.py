"""What nobody expected: the details go into a file, for a report of a bug."""

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


def written(error: Exception, arguments: list[str]) -> Path:
    """Write versions, command and traceback into the cache folder, or where that cannot be into a temporary one."""
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
    with suppress(OSError, RuntimeError):  # no home, or one that cannot be written
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

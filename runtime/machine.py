"""The machine and the packages, as a report names them."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *(
        "gantool",
        "numpy",
        "pillow",
        "typer",
        "torch",
        "onnx",
        "onnx-ir",
        "onnxscript",
        "onnxruntime",
        "onnxruntime-gpu",
        "openvino",
    ),
    *("tensorrt", "tensorrt-rtx-cu13", "cuda-bindings"),
)


def packages() -> dict[str, str]:
    """Return the versions of the installed packages that gantool works with."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def system() -> dict[str, str]:
    """Return Python, operating system and processor, without names of people, machines or folders."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cpu": f"{os.cpu_count()} × {_cpu()}",
    }


def read_text(path: Path) -> str:
    """Return the text of a file that tells about the machine; "" if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    for path, pattern in (
        ("/proc/cpuinfo", r"^model name\s*: (.+)$"),
        ("/proc/device-tree/model", r"^([^\0]+)"),
    ):
        if found := re.search(pattern, read_text(Path(path)), re.MULTILINE):
            return found[1]
    return platform.processor() or "unknown"

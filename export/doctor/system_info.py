"""Collect system info for `gantool doctor`. Missing things are reported, not raised."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from gantool.export.engine.build import MODULES, choose_library, gpu_problem
from gantool.export.engine.options import Library
from gantool.runtime.artifacts.plan import NAMES
from gantool.runtime.backends.tensorrt.cuda import driver_problem, import_driver
from gantool.runtime.backends.tensorrt.library import import_library, pip_extra
from gantool.runtime.errors import GantoolError
from gantool.runtime.machine import packages, read_text, system

# JetPack by the prefix of L4T's version. Source: NVIDIA's JetPack archive.
JETPACKS = {
    **{"35": "5.1", "36.3": "6.0", "36.4": "6.1 or 6.2", "36.5": "6.2", "38.2": "7.0", "38.4": "7.1"},
    "39.2": "7.2",
}


def facts() -> dict[str, Any]:
    """Return the system info for a bug report, without names of people, machines or folders. Raises nothing."""
    return {
        **system(),
        "memory": _memory(),
        "packages": packages(),
        "gpu": _gpu(),
        **jetson(Path("/")),
        "builders": {NAMES[library]: _builder(library) for library in MODULES},
    }


def _memory() -> str:
    sizes = dict(re.findall(r"^(\w+): +(\d+) kB$", read_text(Path("/proc/meminfo")), re.MULTILINE))
    if "MemTotal" not in sizes:
        return "unknown"
    total, free = (int(sizes[name]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB, {free:.1f} GiB available"


def _gpu() -> Any:
    """Return one entry for each GPU, or the reason why there is none."""
    try:
        driver = import_driver(pip_extra("tensorrt"), "looking for a GPU")
    except GantoolError as error:
        return str(error)
    return driver_problem(driver) or describe_gpus(driver)


def describe_gpus(driver: Any) -> dict[str, Any]:
    """Return the driver's version and a description of each GPU. `driver` is the initialized CUDA driver API."""
    attribute = driver.CUdevice_attribute

    def ask(device: Any, name: str) -> int:
        return int(driver.cuDeviceGetAttribute(getattr(attribute, name), device)[1])

    number = int(driver.cuDriverGetVersion()[1])  # 12060 for 12.6
    found: dict[str, Any] = {"CUDA of the driver": f"{number // 1000}.{number % 1000 // 10}"}
    for index in range(int(driver.cuDeviceGetCount()[1])):
        device = driver.cuDeviceGet(index)[1]
        name = driver.cuDeviceGetName(256, device)[1].split(b"\0")[0].decode(errors="replace")
        major = ask(device, "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR")
        minor = ask(device, "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR")
        memory = int(driver.cuDeviceTotalMem(device)[1]) / 2**30
        kind = "integrated" if ask(device, "CU_DEVICE_ATTRIBUTE_INTEGRATED") else "discrete"
        found[f"GPU {index}"] = f"{name}, compute capability {major}.{minor}, {memory:.1f} GiB, {kind}"
    return found


def jetson(root: Path) -> dict[str, Any]:
    """Return L4T, JetPack and the power mode of a Jetson whose files lie under `root`; {} for other machines."""
    # "# R36 (release), REVISION: 4.3, GCID: ..."
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release"))
    if not found:
        return {}
    l4t = f"{found[1]}.{found[2]}"
    # the longest start first
    jetpack = next(
        (JETPACKS[start] for start in sorted(JETPACKS, reverse=True) if f"{l4t}.".startswith(f"{start}.")),
        "unknown",
    )
    model = read_text(root / "proc/device-tree/model").rstrip("\0\n") or "unknown"
    return {"jetson": {"model": model, "L4T": l4t, "JetPack": jetpack, "power mode": _power_mode()}}


def _power_mode() -> str:
    program = shutil.which("nvpmodel")
    if program is None:
        return "unknown: no nvpmodel"
    try:
        answer = subprocess.run(
            [program, "-q"], capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {error}"
    return " ".join(answer.stdout.split()) or f"unknown: {' '.join(answer.stderr.split())}"


def _builder(library: Library) -> str:
    """Return whether a library builds engines here, or why it does not."""
    if importlib.util.find_spec(MODULES[library]) is None:
        return "not installed"
    try:
        module = import_library(library, "building")
        choose_library(library)
    except GantoolError as error:
        return f"no: {error}"
    return f"{module.__version__} builds here"


def builds_and_runs(rtx: bool) -> Library | None:
    """Return the library (TensorRT, or TensorRT-RTX with `rtx`) if it builds and runs engines here, else None."""
    library: Library = "rtx" if rtx else "tensorrt"
    try:
        choose_library(library)
        return None if gpu_problem(library) else library
    except GantoolError:
        return None

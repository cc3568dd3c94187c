"""Energy of an NVIDIA GPU, from NVML: its counter where it has one (Volta and later), else its power, sampled."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gantool.runtime.bench.sources import Counter, Sensor, Source
from gantool.runtime.errors import pip_install
from gantool.runtime.process.terminal import short


def find() -> list[Source] | str:
    """Return the counter or the sensor of the GPU that engines run on, or the reason why there is none."""
    try:
        import pynvml
    except ImportError:
        return f"nvidia-ml-py is not installed ({pip_install('energy')})"
    try:
        pynvml.nvmlInit()
        gpu = _gpu(pynvml)
        model = pynvml.nvmlDeviceGetName(gpu)  # bytes in old releases
        name = f"NVML {short(model.decode() if isinstance(model, bytes) else model)}"
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)  # mJ
        except pynvml.NVMLError:
            pynvml.nvmlDeviceGetPowerUsage(gpu)  # mW
            return [Sensor(name, _thousandths(pynvml, pynvml.nvmlDeviceGetPowerUsage, gpu))]
        return [Counter(name, _thousandths(pynvml, pynvml.nvmlDeviceGetTotalEnergyConsumption, gpu))]
    except pynvml.NVMLError as error:
        return f"NVML: {short(error)}"


def _gpu(nvml: Any) -> Any:
    """Return the GPU that CUDA calls the first: by CUDA_VISIBLE_DEVICES, else number 0."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    return nvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdecimal() else 0)


def _thousandths(nvml: Any, read: Callable[[Any], int], gpu: Any) -> Callable[[], float | None]:
    def value() -> float | None:
        try:
            return read(gpu) / 1e3
        except nvml.NVMLError:
            return None

    return value

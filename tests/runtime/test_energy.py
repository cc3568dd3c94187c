"""Energy by the meters of a machine: what is counted, how counters wrap, and why there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from conftest import run_gantool
from gantool.runtime.bench.ina3221 import rails
from gantool.runtime.bench.meter import Meter, find, metered
from gantool.runtime.bench.sources import Counter, Sensor
from helpers.tiny import tiny_graph


def rail(root: Path, chip: str, number: int, label: str, millivolts: int, milliamperes: int) -> None:
    """Write what a Jetson's kernel shows of one channel of an INA3221."""
    folder = root / "sys/bus/i2c/devices" / chip / "hwmon/hwmon3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"in{number}_label").write_text(f"{label}\n")
    (folder / f"in{number}_input").write_text(f"{millivolts}\n")
    (folder / f"curr{number}_input").write_text(f"{milliamperes}\n")


def zone(root: Path, number: str, name: str, joules: float, wrap: float = 262143.0) -> Path:
    """Write what Linux shows of one zone of RAPL; return the file that counts."""
    folder = root / "sys/class/powercap" / f"intel-rapl:{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{round(wrap * 1e6)}\n")
    (folder / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    return folder / "energy_uj"


def test_the_rails_of_a_jetson(tmp_path: Path) -> None:
    assert find(on_gpu=True, root=tmp_path).sources == ()
    rail(tmp_path, "1-0040", 1, "VDD_CPU_GPU_CV", 5000, 400)
    rail(tmp_path, "1-0040", 2, "VDD_SOC", 5000, 200)
    (tmp_path / "sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in7_label").write_text("sum of shunt voltages\n")
    assert rails(tmp_path) == {"VDD_CPU_GPU_CV": 2.0, "VDD_SOC": 1.0}
    zone(tmp_path, "0", "package-0", 0)  # a board has one meter
    assert find(on_gpu=True, root=tmp_path).name == "INA3221 VDD_CPU_GPU_CV + VDD_SOC"
    rail(tmp_path, "1-0040", 3, "VDD_IN", 5000, 1000)
    meter = find(on_gpu=False, root=tmp_path)
    assert meter.name == "INA3221 VDD_IN"
    assert_draws(meter, 5)


def assert_draws(meter: Meter, watts: float) -> None:
    """Check the energy of a tenth of a second at a steady power."""
    started = time.perf_counter()
    with metered(meter, 0.01) as energy:
        time.sleep(0.1)
    assert energy.joules is not None
    assert watts * 0.1 <= energy.joules <= watts * (time.perf_counter() - started)


def test_a_sensor_is_integrated() -> None:
    now, watts = [10.0], [4.0]
    sensor = Sensor("board", lambda: watts[0], lambda: now[0])
    now[0], watts[0] = 11.0, 8.0
    assert sensor.joules() == 6.0  # one second from 4 to 8 watts
    now[0] = 13.0
    assert sensor.joules() == 22.0


def test_packages_and_their_dram_are_counted_once(tmp_path: Path) -> None:
    first = zone(tmp_path, "0", "package-0", 100)
    zone(tmp_path, "0:0", "core", 50)
    zone(tmp_path, "0:1", "dram", 7)
    second = zone(tmp_path, "1", "package-1", 1000, wrap=1010)
    zone(tmp_path, "2", "psys", 5000)
    (tmp_path / "sys/class/powercap/intel-rapl-mmio:0").mkdir()
    meter = find(on_gpu=False, root=tmp_path)
    assert meter.name == "RAPL package-0, RAPL package-0 DRAM, RAPL package-1"
    with metered(meter) as energy:
        first.write_text(f"{103 * 10**6}")
        second.write_text(f"{4 * 10**6}")  # from 1000 over 1010 to 4
    assert energy.joules == pytest.approx(3 + 14)


def test_a_counter_that_cannot_be_read_for_a_while_loses_nothing() -> None:
    values = iter([5.0, None, 9.0])
    counter = Counter("RAPL package-0", lambda: next(values))
    assert counter.joules() == 0.0
    assert counter.joules() == 4.0


def test_counters_for_root_alone_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, read = zone(tmp_path, "0", "package-0", 100), Path.read_text

    def refused(path: Path, encoding: str | None = None) -> str:
        if path == counts:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, encoding)

    monkeypatch.setattr(Path, "read_text", refused)  # root may read a file of mode 0
    meter = find(on_gpu=False, root=tmp_path)
    assert meter.sources == ()
    assert "no INA3221 in /sys/bus/i2c/devices; only root may read RAPL here" in meter.missing
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in meter.missing


class _NVMLError(Exception):
    pass


def nvml(energy: Callable[[object], int], power: Callable[[object], int]) -> ModuleType:
    """Return what stands in for the module of nvidia-ml-py, with one GPU."""
    module = ModuleType("pynvml")
    handles = {0: "gpu", "GPU-1b": "other"}
    names = {"gpu": b"NVIDIA Old", "other": "NVIDIA New"}
    for name, value in {
        "NVMLError": _NVMLError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": handles.__getitem__,
        "nvmlDeviceGetHandleByUUID": handles.__getitem__,
        "nvmlDeviceGetName": names.__getitem__,
        "nvmlDeviceGetTotalEnergyConsumption": energy,
        "nvmlDeviceGetPowerUsage": power,
    }.items():
        setattr(module, name, value)
    return module


def fails(_: object) -> int:
    raise _NVMLError("Not Supported")


def test_a_gpu_is_counted_with_its_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    milli = iter([1000, 1000, 1000, *[4500] * 100])
    monkeypatch.setitem(sys.modules, "pynvml", nvml(lambda _: next(milli), fails))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1b,0")
    zone(tmp_path, "0", "package-0", 100)
    meter = find(on_gpu=True, root=tmp_path)
    assert meter.name == "NVML NVIDIA New, RAPL package-0"
    with metered(meter) as energy:
        pass
    assert energy.joules == 3.5
    assert find(on_gpu=False, root=tmp_path).name == "RAPL package-0"


def test_a_gpu_without_a_counter_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(fails, lambda _: 30_000))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    meter = find(on_gpu=True, root=tmp_path)
    assert meter.name == "NVML NVIDIA Old"
    assert_draws(meter, 30)


def test_without_a_meter_of_the_gpu_the_processor_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone(tmp_path, "0", "package-0", 100)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    missing = find(on_gpu=True, root=tmp_path)
    assert missing.sources == ()
    assert "nvidia-ml-py is not installed (pip install " in missing.missing
    monkeypatch.setitem(sys.modules, "pynvml", nvml(fails, fails))
    assert "NVML: Not Supported" in find(on_gpu=True, root=tmp_path).missing


def test_bench_says_what_it_counted_or_why_not(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    flags = ("--batch", "1", "--seconds", "0.05", "--provider", "cpu")
    result = run_gantool("bench", "g.onnx", *flags, cwd=tmp_path, check=True)
    heading = result.stdout.splitlines()[0]
    if find(on_gpu=False).sources:
        assert "Energy is that of " in result.stderr
        assert "mJ/img" in heading
    else:
        assert "Energy was not measured: no INA3221 in /sys/bus/i2c/devices; " in result.stderr
        assert "mJ/img" not in heading

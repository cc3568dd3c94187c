"""Power on a Jetson, from the INA3221 sensors that its kernel exposes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SENSORS = Path("/sys/bus/i2c/devices")
_TOTAL = ("VDD_IN", "POM_5V_IN")  # rails that power the whole board


def rails(root: Path = SENSORS) -> dict[str, float]:
    """Return watts by rail, named as in the sensor's `in*_label` file; {} without sensors."""
    found = {}
    for label in sorted(root.glob("*/hwmon/hwmon*/in*_label")):
        number = label.name[2 : -len("_label")]
        try:
            millivolts = int((label.parent / f"in{number}_input").read_text())
            milliamperes = int((label.parent / f"curr{number}_input").read_text())
            found[label.read_text().strip()] = millivolts * milliamperes / 1e6
        except (OSError, ValueError):  # a rail that is not connected, or a sum of other rails
            continue
    return found


def watts(root: Path = SENSORS) -> float | None:
    """Return the power of the board in watts: that of its input rail, else the sum of all; None without sensors."""
    found = rails(root)
    for name in _TOTAL:
        if name in found:
            return found[name]
    return sum(found.values()) if found else None


@contextmanager
def sampled(root: Path = SENSORS, interval: float = 0.05) -> Iterator[list[float]]:
    """Sample `watts` every `interval` seconds while the block runs, into the list that is yielded."""
    samples: list[float] = []
    if (first := watts(root)) is None:
        yield samples
        return
    samples.append(first)
    done = threading.Event()

    def sample() -> None:
        while not done.wait(interval):
            if (now := watts(root)) is not None:
                samples.append(now)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()

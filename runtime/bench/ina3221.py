"""Power on a Jetson, from the INA3221 sensors that its kernel exposes."""

from __future__ import annotations

from pathlib import Path

from gantool.runtime.bench.sources import Sensor, Source

_DEVICES = "sys/bus/i2c/devices"
_TOTAL = ("VDD_IN", "POM_5V_IN")  # rails that power the whole board


def find(root: Path = Path("/")) -> list[Source] | str:
    """Return the sensor of the board: its input rail, else the sum of all; or the reason why there is none."""
    names = tuple(rails(root))
    if not names:
        return f"no INA3221 in /{_DEVICES}"
    counted = next(((name,) for name in _TOTAL if name in names), names)

    def watts() -> float | None:
        found = rails(root)
        return sum(found[name] for name in counted) if found.keys() >= {*counted} else None

    return [Sensor(f"INA3221 {' + '.join(counted)}", watts)]


def rails(root: Path = Path("/")) -> dict[str, float]:
    """Return watts by rail, named as in the sensor's `in*_label` file; {} without sensors."""
    found = {}
    for label in sorted((root / _DEVICES).glob("*/hwmon/hwmon*/in*_label")):
        number = label.name[2 : -len("_label")]
        try:
            millivolts = int((label.parent / f"in{number}_input").read_text())
            milliamperes = int((label.parent / f"curr{number}_input").read_text())
            found[label.read_text().strip()] = millivolts * milliamperes / 1e6
        except (OSError, ValueError):  # a rail that is not connected, or a sum of other rails
            continue
    return found

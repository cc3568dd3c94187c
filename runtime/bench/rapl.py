"""Energy of an x86 processor, from the counters that Linux calls RAPL; those of AMD have the same names.

    /sys/class/powercap/intel-rapl:0/      name package-0, energy_uj, max_energy_range_uj
    /sys/class/powercap/intel-rapl:0:0/    name core, uncore or dram: a part of a package

Packages and their DRAM are counted. The cores are in their package, and `psys` has the packages in it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gantool.runtime.bench.sources import Counter, Source

_ZONES = "sys/class/powercap"


def find(root: Path = Path("/")) -> list[Source] | str:
    """Return the counters of all packages, or the reason why there is none."""
    found: list[Source] = []
    for zone in sorted((root / _ZONES).glob("intel-rapl:*")):
        try:
            if name := _counted(zone):
                _joules(zone)
                wrap = int((zone / "max_energy_range_uj").read_text()) / 1e6
                found.append(Counter(f"RAPL {name}", partial(_joules_or_none, zone), wrap))
        except PermissionError:  # noqa: PERF203 (a handful of zones)
            return f"only root may read RAPL here (sudo chmod a+r /{_ZONES}/intel-rapl:*/energy_uj)"
        except (OSError, ValueError):  # hidden, as containers do
            continue
    return found or f"no RAPL in /{_ZONES}"


def _counted(zone: Path) -> str:
    """Return the name of a package or of its DRAM; "" for another zone."""
    name = (zone / "name").read_text().strip()
    if name == "dram":
        package = zone.with_name(zone.name.rpartition(":")[0])
        return f"{(package / 'name').read_text().strip()} DRAM"
    return name if name.startswith("package") else ""


def _joules(zone: Path) -> float:
    return int((zone / "energy_uj").read_text()) / 1e6


def _joules_or_none(zone: Path) -> float | None:
    try:
        return _joules(zone)
    except (OSError, ValueError):
        return None

"""Budgets as people write them: 5ms, 2MB, 5mJ. They are parsed here alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gantool.runtime.errors import UsageError
from gantool.runtime.process.terminal import short

TIMES = {"ms": 1.0, "s": 1e3, "us": 1e-3, "µs": 1e-3}
SIZES = {"MB": 1e6, "kB": 1e3, "KB": 1e3, "GB": 1e9, "MiB": 2**20, "KiB": 2**10, "GiB": 2**30, "B": 1.0}
ENERGIES = {"mJ": 1.0, "J": 1e3, "uJ": 1e-3, "µJ": 1e-3}
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?([A-Za-zµ]*)", re.ASCII)


def quantity(name: str, units: Mapping[str, float]) -> Callable[[Any], float]:
    """Return the parser of option `name`: from text, as "5ms", to a number in the first of the units."""
    first = next(iter(units))

    def parse(text: Any) -> float:
        found = _QUANTITY.fullmatch(str(text).strip())
        if found is None:
            raise UsageError(f"`{name}` {short(text)}: give a number and its unit, as in 5{first}")
        number, unit = found.groups()
        if unit not in units:
            near = [known for known in units if known.lower() == unit.lower()]
            hint = f"did you mean {number}{near[0]}? " if near else ""
            wrong = f"{unit} is not a unit of it" if unit else "the unit is missing"
            raise UsageError(
                f"`{name}` {short(text)}: {wrong}; {hint}give one of {', '.join(units)}, as in 5{first}"
            )
        return float(number) * units[unit] / units[first]

    return parse


def size_text(count: float) -> str:
    """Return a size, as "1.53 MB"."""
    unit = next((unit for unit in ("GB", "MB", "kB") if count >= SIZES[unit]), "B")
    return f"{count / SIZES[unit]:.3g} {unit}" if unit != "B" else f"{count:.0f} B"

"""The axis of a chart: where a value lies, and round numbers for its ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 1e-6  # on a logarithmic axis, of values that are 0 or below
STEPS = (1, 2, 5, 10)
MOST = 6  # ticks


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    label: str
    log: bool = False
    zero: bool = False  # it reaches 0
    ticks: tuple[float, ...] = ()  # (): round numbers
    infinity: str = ""  # what infinite values mean: they lie at the top; "": they are left out


@dataclass(frozen=True)
class Scale:
    """Where a value lies along an axis."""

    axis: Axis
    low: float  # of the values, or of their logarithms
    high: float

    def share(self, value: float) -> float:
        """Return 0 for the start of the axis, 1 for its end."""
        if math.isinf(value):
            return 1.0
        return (_place(self.axis, value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return where the ticks are, from 0 to 1, with their labels."""
        axis = self.axis
        found = [(self.share(value), f"{value:.4g}") for value in axis.ticks or self._round()]
        if axis.infinity:
            found = [tick for tick in found if tick[0] < 0.93]
            found.append((1.0, axis.infinity))
        return [tick for tick in found if -1e-9 <= tick[0] <= 1 + 1e-9]

    def _round(self) -> list[float]:
        if self.axis.log:
            return _round_logarithms(self.low, self.high)
        step = _step((self.high - self.low) / (MOST - 1))
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_of(axis: Axis, values: Sequence[float]) -> Scale:
    """Return the scale that shows all values; infinite ones at its end if they mean something."""
    places = [_place(axis, value) for value in (*values, *axis.ticks) if math.isfinite(value)]
    low, high = (min(places), max(places)) if places else (0.0, 1.0)
    if axis.zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-9 * max(abs(high), abs(low)):  # one value: in the middle, or on top of 0
        margin = 0.5 if axis.log else abs(high) / 2 or 0.5
        low, high = (low, high + margin) if axis.zero else (low - margin, high + margin)
    if axis.infinity:
        high += 0.15 * (high - low)
    return Scale(axis, low, high)


def _place(axis: Axis, value: float) -> float:
    return math.log10(max(value, LEAST)) if axis.log else value


def _step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))


def _round_logarithms(low: float, high: float) -> list[float]:
    powers = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits]
        shown = [value for value in found if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if len(shown) <= MOST:
            break
    if len(shown) < 2:  # less than a doubling: its ends
        return [10**low, 10**high]
    return shown[:: -(-len(shown) // MOST)]

"""What energy is read from: counters of joules, and sensors of watts. Both give the joules since they were made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

Read = Callable[[], float | None]  # None: this once it could not be read


class Source(Protocol):
    """A part of the machine whose energy is measured."""

    @property
    def name(self) -> str:
        """The meter and the part, as "RAPL package-0"."""

    def joules(self) -> float:
        """Return the energy since the source was made. Call it often: a sensor is integrated at each call."""


class Counter:
    """A counter of joules that starts again at 0 after `wrap`. It must be read at least once in between."""

    def __init__(self, name: str, read: Read, wrap: float | None = None) -> None:
        self.name = name
        self._read, self._wrap, self._total = read, wrap, 0.0
        self._last = read()

    def joules(self) -> float:
        """Return the energy since the counter was opened."""
        if (now := self._read()) is None:
            return self._total
        if self._last is not None:
            step = now - self._last
            self._total += step if step >= 0 else step + self._wrap if self._wrap else 0.0
        self._last = now
        return self._total


class Sensor:
    """A sensor of watts, integrated by the trapezoidal rule."""

    def __init__(self, name: str, watts: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._watts, self._clock, self._total = watts, clock, 0.0
        self._then, self._last = clock(), watts() or 0.0

    def joules(self) -> float:
        """Return the energy since the sensor was opened."""
        now, watts = self._clock(), self._watts()
        watts = self._last if watts is None else watts
        self._total += (now - self._then) * (watts + self._last) / 2
        self._then, self._last = now, watts
        return self._total

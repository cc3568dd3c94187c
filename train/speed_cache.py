"""The autotuner's cache of measured speeds."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantool.runtime.cache import cache_dir
from gantool.runtime.files import atomic
from gantool.runtime.process.cpus import is_busy

DAY = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Figures:
    """The measured speed of each way to compute a step, and how it was measured."""

    rates: dict[str, float]  # way -> images per second; 0: the way failed
    when: float  # seconds since 1970
    others: float  # CPUs that other programs used
    seconds: float  # duration of the measurement
    whole: bool  # the time was enough for all rounds

    def __post_init__(self) -> None:
        rates = list(self.rates.items())
        numbers = (*(rate for _, rate in rates), self.when, self.others, self.seconds)
        if not rates or not all(isinstance(each, (int, float)) for each in numbers):
            raise TypeError("no figures")

    @property
    def sure(self) -> bool:
        """Whether all rounds were measured and the machine was not busy."""
        return self.whole and not is_busy(self.others)

    @property
    def best(self) -> str:
        """The fastest way."""
        return max(self.rates, key=lambda way: self.rates[way])

    def __str__(self) -> str:
        old = time.time() - self.when
        notes = [f"measured {_ago(old)}"] if old >= 60 else []
        if is_busy(self.others):
            notes.append(f"while other programs used {self.others:.1f} CPUs")
        if not self.whole:
            notes.append("in a hurry")
        rates = sorted(self.rates.items(), key=lambda item: -item[1])
        return (
            "speed: "
            + ", ".join(f"{way} {rate:,.0f}" if rate else f"{way} failed" for way, rate in rates)
            + " images/s"
            + (f" ({'; '.join(notes)})" if notes else "")
            + f"; chosen: {self.best}"
        )


def cache_path() -> Path:
    """Return the file of the cache."""
    return cache_dir() / "speed.json"


def read_cache(path: Path) -> dict[str, Any]:
    """Return the entries of the cache by key; {} if it cannot be read."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_cache(path: Path, known: dict[str, Any]) -> None:
    """Write the entries of the cache. If that fails, the next run measures again."""
    with suppress(OSError), atomic(path) as part:
        part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def known_figures(found: Any, ways: list[str]) -> Figures | None:
    """Return the figures in a cache entry; None if it is missing, of another format or for other ways."""
    try:
        figures = Figures(**found)
    except (TypeError, AttributeError):
        return None
    return figures if figures.best.removesuffix(" compiled") in ways else None


def _ago(seconds: float) -> str:
    for name, length in (("day", DAY), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"

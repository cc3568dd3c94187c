"""What the server counts, and its text for Prometheus (text format 0.0.4). Each number has one writing thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How often a number was up to each of some limits."""

    def __init__(self, limits: Sequence[float]) -> None:
        self._limits, self._total = limits, 0.0
        self._counts = [0] * (len(limits) + 1)

    def add(self, value: float) -> None:
        """Count a number."""
        self._counts[bisect_left(self._limits, value)] += 1
        self._total += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        """Yield the lines of the text."""
        count = 0
        for limit, here in zip((*map(str, self._limits), "+Inf"), self._counts, strict=True):
            count += here
            yield _line(f"{name}_bucket", (*labels, ("le", limit)), count)
        yield _line(f"{name}_sum", labels, self._total)
        yield _line(f"{name}_count", labels, count)


@dataclass(eq=False)
class Metrics:
    """The counters of a server."""

    rejected: int = 0  # requests that were told to come again
    running: int = 0  # requests
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)  # by door and status
    seconds: dict[str, Histogram] = field(default_factory=dict)  # of requests, by door
    images: Counter[str] = field(default_factory=Counter)  # by model
    sizes: dict[str, Histogram] = field(default_factory=dict)  # of batches, by model
    computing: dict[str, Histogram] = field(default_factory=dict)  # seconds of batches, by model

    def request(self, door: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        self.requests[door, status] += 1
        self.seconds.setdefault(door, Histogram(_SECONDS)).add(seconds)

    def batch(self, model: str, images: int, seconds: float) -> None:
        """Count a batch that the engine has made."""
        self.images[model] += images
        self.sizes.setdefault(model, Histogram(_SIZES)).add(images)
        self.computing.setdefault(model, Histogram(_SECONDS)).add(seconds)

    def text(self, waiting: int) -> str:
        """Return all of it; `waiting` is the number of images in the queue."""
        requests: dict[Labels, int] = {
            (("door", door), ("status", str(status))): n for (door, status), n in self.requests.items()
        }
        lines = [
            *_plain("gantool_requests_total", "counter", "Requests that were answered.", requests),
            *_plain("gantool_requests_running", "gauge", "Requests in progress.", {(): self.running}),
            *_plain("gantool_rejected_total", "counter", "Requests that got 503.", {(): self.rejected}),
            *_plain("gantool_images_total", "counter", "Images that engines made.", _by_model(self.images)),
            *_plain("gantool_queue_images", "gauge", "Images that requests wait for.", {(): waiting}),
            *_histograms("gantool_request_seconds", "Time of a request.", "door", self.seconds),
            *_histograms("gantool_batch_images", "Images of a batch.", "model", self.sizes),
            *_histograms("gantool_batch_seconds", "Time of a batch.", "model", self.computing),
        ]
        if memory := _resident():
            name, text = "process_resident_memory_bytes", "Resident memory."
            lines += _plain(name, "gauge", text, {(): memory})
        return "\n".join(lines) + "\n"


def _by_model(counts: Counter[str]) -> dict[Labels, int]:
    return {(("model", name),): count for name, count in counts.copy().items()}


def _plain(name: str, kind: str, text: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield from _head(name, kind, text)
    for labels, value in values.items():
        yield _line(name, labels, value)


def _histograms(name: str, text: str, label: str, found: Mapping[str, Histogram]) -> Iterator[str]:
    yield from _head(name, "histogram", text)
    for value, histogram in tuple(found.items()):
        yield from histogram.lines(name, ((label, value),))


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    """Return a line. Names of models and doors have no character that must be escaped."""
    inside = ",".join(f'{key}="{text}"' for key, text in labels)
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _resident() -> int:
    """Return the resident memory in bytes; 0 where there is no /proc."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError, ImportError):
        return 0

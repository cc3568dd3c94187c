"""What the folder of a run tells a model card: the options of the training, and the scores of its checkpoint."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantool.runtime.foreign import parse_json

# Options of a training that shape the generator; paths and settings of the machine are nobody's business.
_SETTINGS = (
    *("preset", "batch", "accumulate", "optimizer", "lr", "lr_d", "loss", "r1", "r2", "gp", "augment"),
    *("instance_noise", "ema_kimg", "mirror", "precision", "seed"),
)
_LARGEST = 2**24  # bytes of a file that is read


@dataclass(frozen=True)
class RunFacts:
    """Unchecked values from the files of a run: only plain text and finite numbers, by name."""

    settings: dict[str, str | float] = field(default_factory=dict)
    is_student: bool = False  # it learned from the images of another generator
    scores: tuple[dict[str, Any], ...] = ()  # the last line of each metric-*.jsonl that is of this checkpoint

    @classmethod
    def read(cls, run: Path | None, images_seen: float | None) -> RunFacts:
        """Read them in the folder of a run; what is missing or damaged is left out."""
        if run is None:
            return cls()
        options = _json(run / "training_options.json")
        scores = [_last(path, images_seen) for path in sorted(run.glob("metric-*.jsonl"))]
        is_student = isinstance(options, dict) and bool(options.get("teacher"))
        return cls(_plain(options), is_student, tuple(score for score in scores if score))


def _plain(options: Any) -> dict[str, str | float]:
    """Return the settings that are switched on."""
    if not isinstance(options, dict):
        return {}
    found: dict[str, Any] = {name: options.get(name) for name in _SETTINGS}
    return {
        name: value
        for name, value in found.items()
        if (isinstance(value, str) and value != "none" and value.isprintable())
        or (is_number(value) and (value or name == "seed"))
        or value is True
    }


def _last(path: Path, images_seen: float | None) -> dict[str, Any] | None:
    """Return the last scores after as many images as the checkpoint has seen."""
    found = None
    for line in _text(path).splitlines():
        with suppress(ValueError):
            value = parse_json(line)
            if isinstance(value, dict) and _is_after(value.get("kimg"), images_seen):
                found = value
    return found


def _is_after(kimg: Any, images_seen: float | None) -> bool:
    """Return whether `kimg`, as a file has it, is the number of images that a checkpoint has seen."""
    return is_number(kimg) and images_seen is not None and math.isclose(kimg * 1000, images_seen, abs_tol=0.5)


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and abs(value) < 1e300


def _json(path: Path) -> Any:
    with suppress(ValueError):
        return parse_json(_text(path))
    return None


def _text(path: Path) -> str:
    with suppress(OSError):
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return path.read_text(encoding="utf-8", errors="replace")
    return ""

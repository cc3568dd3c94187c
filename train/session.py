"""One session of a run, from its start or resume: its data, its clock and its limits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gantool.models import CHECKPOINT_NAME
from gantool.runtime.errors import GantoolError
from gantool.train.data.dataset import ImageData
from gantool.train.distill.teacher import Teacher
from gantool.train.options import TrainingOptions
from gantool.train.state import TrainingState

LONG = 12.0  # hours: warn about a run that will take longer,
SURE = 60.0  # but only after this many seconds, since a single slow step means little


@dataclass(frozen=True)
class Session:
    """The options, data and folder of a session."""

    options: TrainingOptions
    data: ImageData
    folder: Path
    rate: float | None = None  # images per second that were measured on this machine; None: unknown
    spent: float = 0.0  # seconds of the limit that the autotuner used
    teacher: Teacher | None = None  # of a distillation

    @property
    def limit(self) -> float:
        """Seconds that this session may train; infinite if `minutes` is None."""
        minutes = self.options.minutes
        return math.inf if minutes is None else max(minutes * 60 - self.spent, 0.001)


def diverged(session: Session, state: TrainingState) -> GantoolError:
    """Return the error for losses or weights that are not finite."""
    options, checkpoint = session.options, session.folder / CHECKPOINT_NAME
    kept = (
        f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "no checkpoint was saved yet"
    )
    return GantoolError(
        f"training diverged: losses or weights became NaN or infinite by kimg {state.images_seen / 1000:.1f}; "
        f"lower `lr` (it is {options.lr:g}) or raise `batch` (it is {options.batch}); {kept}"
    )


class Stopwatch:
    """Measures the time of training, without the time of the metric."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since its creation, without pauses."""
        return time.monotonic() - self.started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause while the block runs."""
        before = time.monotonic()
        yield
        self.started += time.monotonic() - before


class Pace:
    """The speed of a session since its start, and the time left until its limits."""

    def __init__(self, session: Session, state: TrainingState) -> None:
        self.session, self.options = session, session.options
        self.images_seen, self.seconds = state.images_seen, state.seconds  # at the start of the session
        self.warned = False

    def finished(self, state: TrainingState) -> bool:
        """Return whether a limit is reached."""
        return state.images_seen >= self.options.kimg * 1000 or self._elapsed(state) >= self.session.limit

    def rate(self, state: TrainingState) -> float:
        """Return the images per second."""
        return (state.images_seen - self.images_seen) / max(self._elapsed(state), 1e-9)

    def left(self, state: TrainingState) -> float:
        """Return the seconds until the nearer limit."""
        by_kimg = (self.options.kimg * 1000 - state.images_seen) / self.rate(state)
        return max(min(by_kimg, self.session.limit - self._elapsed(state)), 0.0)

    def decay(self, state: TrainingState) -> float:
        """Return the share of the learning rates to take: with `decay`, half a cosine from 1 to 0 at the limit."""
        if not self.options.decay:
            return 1.0
        done = max(state.images_seen / (self.options.kimg * 1000), self._elapsed(state) / self.session.limit)
        return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))

    def progress(self, state: TrainingState) -> tuple[float, str]:
        """Return the estimated kimg at the nearer limit, and the text beside the bar."""
        kimg, total, limit = state.images_seen / 1000, self.options.kimg, f"{self.options.kimg:g} kimg"
        left = self.session.limit - self._elapsed(state)
        if (
            self.options.minutes
            and self._elapsed(state)
            and (by_time := kimg + self.rate(state) * left / 1000) < total
        ):
            total, limit = max(by_time, kimg), f"{self.options.minutes:g} minutes"
        return total, f"kimg {kimg:.1f} of {limit}"

    def warning(self, state: TrainingState) -> str | None:
        """Return a warning, once, if the rest will take over LONG hours and `minutes` is None; else None."""
        if self.warned or self._elapsed(state) < SURE:
            return None
        self.warned = True
        hours = self.left(state) / 3600
        if self.options.minutes is not None or hours < LONG:
            return None
        duration = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.0f} hours"
        return (
            f"note: at {rate_text(self.rate(state))}, the rest of {self.options.kimg:g} kimg takes {duration}. "
            "Checkpoints are saved on the way, and Ctrl-C ends the run at any time; `minutes` sets a limit, and "
            "a smaller `size` or preset, or a GPU, is faster"
        )

    def _elapsed(self, state: TrainingState) -> float:
        return state.seconds - self.seconds


def rate_text(rate: float) -> str:
    """Return images per second as text: 1,234 img/s, 12.3 img/s."""
    return f"{rate:,.0f} img/s" if rate >= 100 else f"{rate:.3g} img/s"


def duration_text(seconds: float) -> str:
    """Return seconds as text, formatted as in StyleGAN's tick line: 12s, 3m 05s, 1h 02m 03s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m {rest:02d}s"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"

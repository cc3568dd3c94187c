"""Ticks: the intervals at which a run reports its losses and speed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from gantool.train.distributed import detect_lost_rank, mean
from gantool.train.session import Session, diverged
from gantool.train.state import TrainingState
from gantool.train.step import Losses


@dataclass(frozen=True)
class TickStats:
    """The numbers of one tick."""

    tick: int
    kimg: float
    total_seconds: float  # of the run
    seconds: float  # of the tick
    images: int  # of the tick
    loss_d: float
    loss_g: float
    real_signs: float
    d_accuracy: float
    augment_p: float
    data_wait: float  # seconds that steps waited for images
    threads: float  # mean over the steps
    last: bool  # the last, partial tick of a session
    distance: float | None = None  # of a student's images from its teacher's; None without a teacher

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def wait_share(self) -> float:
        """The share of the time in which steps waited for images, 0 to 1."""
        return self.data_wait / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return the line of stats.jsonl."""
        return {
            "tick": self.tick,
            "kimg": self.kimg,
            "seconds": round(self.total_seconds, 2),
            "sec_per_kimg": round(self.seconds / self.images * 1000, 4),
            "loss_d": round(self.loss_d, 5),
            "loss_g": round(self.loss_g, 5),
            "real_sign": round(self.real_signs, 4),
            "right": round(self.d_accuracy, 4),
            "augment_p": round(self.augment_p, 4),
            "data_wait": round(self.wait_share, 4),
            "threads": round(self.threads, 2),
            **({} if self.distance is None else {"distance": round(self.distance, 5)}),
        }


class TickMeter:
    """Collects the losses of steps until a tick ends."""

    def __init__(self, session: Session, state: TrainingState) -> None:
        self.session, self.state = session, state
        self._begin()

    def _begin(self) -> None:
        self.images_seen, self.seconds = self.state.images_seen, self.state.seconds
        self.losses: list[Losses] = []
        self.threads: list[int] = []

    def add(self, losses: Losses, threads: int) -> None:
        """Record the losses and the number of threads of a step."""
        self.losses.append(losses)
        self.threads.append(threads)

    def end(self, waited: float, *, last: bool = False) -> TickStats:
        """Return the means since the last tick, over all processes, and begin the next tick.

        `waited`: seconds that steps waited for images. Raises GantoolError if a loss is NaN or infinite.
        """
        state = self.state
        names = ("discriminator", "generator", "real_signs", "d_accuracy", "distance")
        means = torch.stack(
            [torch.stack([getattr(each, name) for each in self.losses]).mean() for name in names]
        )
        with detect_lost_rank(state.fabric):
            loss_d, loss_g, real_signs, d_accuracy, distance = mean(state.fabric, means).tolist()
        if not math.isfinite(loss_d + loss_g + distance):
            raise diverged(self.session, state)
        state.tick += 1
        stats = TickStats(
            tick=state.tick,
            kimg=state.images_seen / 1000,
            total_seconds=state.seconds,
            seconds=state.seconds - self.seconds,
            images=state.images_seen - self.images_seen,
            loss_d=loss_d,
            loss_g=loss_g,
            real_signs=real_signs,
            d_accuracy=d_accuracy,
            augment_p=state.augment_p,
            data_wait=waited,
            threads=sum(self.threads) / len(self.threads),
            last=last,
            distance=distance if self.session.teacher else None,
        )
        self._begin()
        return stats


def interval_ended(images_seen: int, batch: int, tick: float, every: float | None) -> bool:
    """Return whether the last step, of `batch` images, ended a tick that passed a multiple of `every` kimg.

    With `every` = `tick`, return whether a tick ended. The result depends only on the position, so a resumed run
    reports, measures and saves at the same steps as an unbroken one.
    """
    if every is None:
        return False
    images = max(round(tick * 1000), 1)
    interval = max(round(every * 1000), 1)
    before = images_seen - batch
    return images_seen // images * images // interval > before // images * images // interval

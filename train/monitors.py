"""What is measured while training: distance to the data, diversity, and alarms. The random state is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from gantool.models import Generator
from gantool.train.data.dataset import ImageData
from gantool.train.distributed import gather
from gantool.train.metrics.evaluate import append_metric, measure, sample, spread_images
from gantool.train.metrics.extractors import Extractor, find_extractor
from gantool.train.state import save_generator

BEST_NAME = "best.safetensors"
SAMPLES = 5000
ALIKE = 0.5  # of the data's diversity
CERTAIN, UNSURE = (
    0.995,
    0.97,
)  # shares of images that the discriminator tells rightly: rings over, is well under
EARLY_KIMG = 20.0  # before this a discriminator is often ahead

Pixels = NDArray[np.uint8]  # [N, H, W, C]


def diversity(images: Pixels) -> float:
    """Return the mean distance of two images, as the root of the mean squared difference of grey levels."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    half = len(flat) // 2
    return float(np.sqrt(np.square(flat[:half] - flat[half : 2 * half]).mean(1)).mean())


@dataclass
class Alarms:
    """Says once, each time it begins, that a run goes wrong."""

    real_diversity: float
    ringing: set[str] = field(default_factory=set)

    def after_tick(self, kimg: float, right: float) -> str | None:
        """Look at the share of images that the discriminator told rightly."""
        return self._ring(
            "discriminator",
            kimg >= EARLY_KIMG and right > (UNSURE if "discriminator" in self.ringing else CERTAIN),
            f"the discriminator tells {right:.0%} of all images rightly, so the generator learns little: "
            "try --augment diff (or ada), --r1 1 or a lower --lr-d",
        )

    def after_snapshot(self, kimg: float, images: Pixels) -> str | None:
        """Look at how different generated images are, uint8 [64, H, W, C]."""
        ratio = diversity(images) / max(self.real_diversity, 1e-9)
        return self._ring(
            "diversity",
            kimg >= EARLY_KIMG and ratio < ALIKE,
            f"generated images are becoming alike: they differ {ratio:.2f} times as much as the data's; "
            "try --augment diff (or ada), a lower --lr or --loss relativistic",
        )

    def _ring(self, name: str, wrong: bool, text: str) -> str | None:
        if not wrong:
            self.ringing.discard(name)
        elif name not in self.ringing:
            self.ringing.add(name)
            return f"alarm: {text}"
        return None


class Metric:
    """Measures the distance of the averaged generator to the data, and keeps the best checkpoint.

    Each process makes its share of the images; the first one measures them.
    """

    def __init__(self, folder: Path, data: ImageData, fabric: Fabric, log: Callable[[str], None]) -> None:
        self.folder, self.data, self.fabric = folder, data, fabric
        if fabric.is_global_zero:
            self.extractor: Extractor = find_extractor("classifier", data, log)
            if self.extractor.doubt:
                log(f"note: {self.extractor.doubt}")
            self.real = self.extractor.vectors(spread_images(data.images))  # [N, F]

    def __call__(
        self, average: Generator, images_seen: int, seconds: float, best: float
    ) -> dict[str, Any] | None:
        """Measure, write a line and, where it is the best so far, `best.safetensors`; return the line.

        Returns None in all processes but the first.
        """
        started = time.monotonic()
        images = self._images(average)
        if not self.fabric.is_global_zero:
            return None
        value: dict[str, Any] = {
            "kimg": images_seen / 1000,
            "seconds": round(seconds, 2),
            "features": self.extractor.name,
            **measure(self.extractor, self.data, images, self.real),
        }
        append_metric(self.folder, self.extractor.name, value)
        if value["fd"] < best:
            save_generator(self.folder / BEST_NAME, average, images_seen, self.data)
        value["took"] = time.monotonic() - started
        return value

    def _images(self, average: Generator) -> Pixels:
        """Return the images of seeds 0 to SAMPLES - 1, uint8 [SAMPLES, H, W, C]."""
        rank, count = self.fabric.global_rank, self.fabric.world_size
        share = -(-SAMPLES // count)  # of one process; a few too many where it does not divide
        own = sample(average, range(rank, share * count, count))  # [share, H, W, C]
        parts = gather(self.fabric, torch.from_numpy(own))
        return torch.stack(parts, 1).flatten(0, 1)[:SAMPLES].numpy()

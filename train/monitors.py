"""The collapse monitor: it watches the discriminator's accuracy and the diversity of generated images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gantool.runtime.outputs.images import visible
from gantool.runtime.spec import Images

COLLAPSED = 0.5  # alarm if the diversity is below this fraction of the data's
# The discriminator's alarm goes on above the first accuracy, and off below the second, so that it does not repeat.
ON, OFF = 0.995, 0.97
EARLY_KIMG = 20.0  # no alarm before this: early in a run, the discriminator is often ahead


def diversity(images: Images) -> float:
    """Return the mean distance between two images: the root of the mean squared difference of grey levels."""
    flat = visible(images).reshape(len(images), -1).astype(np.float64)
    half = len(flat) // 2
    return float(np.sqrt(np.square(flat[:half] - flat[half : 2 * half]).mean(1)).mean())


@dataclass
class CollapseMonitor:
    """Returns an alarm when a run starts to go wrong, and not again until the alarm is off."""

    real_diversity: float
    student: bool = False  # of a distillation, which has other options
    active: set[str] = field(default_factory=set)

    def after_tick(self, kimg: float, d_accuracy: float) -> str | None:
        """Check the discriminator's accuracy; return an alarm or None."""
        limit = OFF if "discriminator" in self.active else ON
        return self._alarm(
            "discriminator",
            kimg >= EARLY_KIMG and d_accuracy > limit,
            f"the discriminator classifies {d_accuracy:.0%} of images correctly, so the generator learns little"
            + (
                " from it: try a lower `adversarial` or `lr_d`"
                if self.student
                else ": try `augment` diff (or ada), `r1` 1 or a lower `lr_d`"
            ),
        )

    def after_snapshot(self, kimg: float, images: Images) -> str | None:
        """Check the diversity of generated images, uint8 [64, H, W, C]; return an alarm or None."""
        ratio = diversity(images) / max(self.real_diversity, 1e-9)
        return self._alarm(
            "diversity",
            kimg >= EARLY_KIMG and ratio < COLLAPSED,
            f"generated images are becoming alike: they differ {ratio:.2f} times as much as the data; "
            + (
                "try a lower `lr`, or more channels"
                if self.student
                else "try `augment` diff (or ada), a lower `lr` or `loss` relativistic"
            ),
        )

    def _alarm(self, name: str, wrong: bool, text: str) -> str | None:
        if not wrong:
            self.active.discard(name)
        elif name not in self.active:
            self.active.add(name)
            return f"alarm: {text}"
        return None

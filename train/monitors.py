"""The collapse monitor: it watches the discriminator's accuracy and the diversity of generated images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.outputs.images import visible
from gantool.runtime.spec import Images

COLLAPSED = 0.5  # alarm if the diversity is below this fraction of the data's
# The same within a class. Early in a good run of the preset small it was 0.2; in runs that had collapsed, 0.04.
COLLAPSED_CLASS = 0.12
# The discriminator's alarm goes on above the first accuracy, and off below the second, so that it does not repeat.
ON, OFF = 0.995, 0.97
EARLY_KIMG = 20.0  # no alarm before this: early in a run, the discriminator is often ahead


def diversity(images: Images) -> float:
    """Return the mean distance between two images: the root of the mean squared difference of grey levels."""
    flat = visible(images).reshape(len(images), -1).astype(np.float64)
    half = len(flat) // 2
    return float(np.sqrt(np.square(flat[:half] - flat[half : 2 * half]).mean(1)).mean())


def diversity_of_classes(images: Images, labels: NDArray[np.int64]) -> dict[int, float]:
    """Return the diversity of each class that has two images. `labels`, [N], are those of the images."""
    found, counts = np.unique(labels, return_counts=True)
    return {int(each): diversity(images[labels == each]) for each in found[counts > 1]}


@dataclass
class CollapseMonitor:
    """Returns an alarm when a run starts to go wrong, and not again until the alarm is off."""

    real_diversity: float
    of_classes: dict[int, float] = field(default_factory=dict)  # the diversity of the data within each class
    student: bool = False  # of a distillation, which has other options
    r1: float = 0.0  # the weight of the run's R1 penalty
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
                else f": try `augment` diff (or ada), `r1` {max(1.0, 2 * self.r1):g} or a lower `lr_d`"
            ),
        )

    def after_snapshot(
        self, kimg: float, images: Images, labels: NDArray[np.int64] | None = None
    ) -> str | None:
        """Check the diversity of generated images, uint8 [64, H, W, C]; return an alarm or None.

        `labels`, int64 [64], are their classes: a conditional generator may make one image of each class.
        """
        ratio = diversity(images) / max(self.real_diversity, 1e-9)
        alarm = self._alarm(
            "diversity",
            kimg >= EARLY_KIMG and ratio < COLLAPSED,
            f"generated images are becoming alike: they differ {ratio:.2f} times as much as the data; "
            + (
                "try a lower `lr`, or more channels"
                if self.student
                else "try `augment` diff (or ada), a lower `lr` or `loss` relativistic"
            ),
        )
        if labels is None or "diversity" in self.active:
            return alarm
        made = diversity_of_classes(images, labels)
        ratios = [made[each] / max(self.of_classes[each], 1e-9) for each in made.keys() & self.of_classes]
        ratio = float(np.median(ratios)) if ratios else 1.0
        larger = f"`r1` {2 * self.r1:g}" if self.r1 else "`r1` 0.5 and `lazy` 8"
        return self._alarm(
            "classes",
            kimg >= EARLY_KIMG and ratio < COLLAPSED_CLASS,
            f"generated images of a class are alike: they differ {ratio:.2f} times as much as those of the data; "
            + ("try a lower `adversarial`" if self.student else f"start again with {larger}"),
        )

    def _alarm(self, name: str, wrong: bool, text: str) -> str | None:
        if not wrong:
            self.active.discard(name)
        elif name not in self.active:
            self.active.add(name)
            return f"alarm: {text}"
        return None

"""The collapse monitor: it watches the discriminator's accuracy and the diversity of generated images."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.outputs.images import visible
from gantool.runtime.spec import Images

COLLAPSED = 0.5  # alarm if the diversity is below this fraction of the data's
# The same within classes. Early in a good run of the preset small it was 0.2; in runs that had collapsed, 0.04.
COLLAPSED_CLASSES = 0.12
# The discriminator's alarm goes on above the first accuracy, and off below the second, so that it does not repeat.
ON, OFF = 0.995, 0.97
EARLY_KIMG = 20.0  # no alarm before this: early in a run, the discriminator is often ahead


def diversity(images: Images, labels: NDArray[np.int64] | None = None) -> float:
    """Return the mean distance between two images: the root of the mean squared difference of grey levels.

    With `labels`, [N], the two are of the same class; NaN if no class has two images.
    """
    flat = visible(images).reshape(len(images), -1).astype(np.float64)
    groups = (
        [np.arange(len(flat))]
        if labels is None
        else [np.flatnonzero(labels == each) for each in np.unique(labels)]
    )
    halves = [(group[: len(group) // 2], group[len(group) // 2 : len(group) // 2 * 2]) for group in groups]
    one, other = (np.concatenate(each) for each in zip(*halves, strict=True))
    return float(np.sqrt(np.square(flat[one] - flat[other]).mean(1)).mean()) if len(one) else float("nan")


@dataclass
class CollapseMonitor:
    """Returns an alarm when a run starts to go wrong, and not again until the alarm is off."""

    real_diversity: float
    within_classes: float = float("nan")  # the diversity of the data within a class; NaN: without classes
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

    def after_snapshot(
        self, kimg: float, images: Images, labels: NDArray[np.int64] | None = None
    ) -> str | None:
        """Check the diversity of generated images, uint8 [64, H, W, C]; return an alarm or None.

        `labels`, int64 [64], are their classes: a conditional generator may make one image of each class.
        """
        ratio = diversity(images) / max(self.real_diversity, 1e-9)
        if alarm := self._alarm(
            "diversity",
            kimg >= EARLY_KIMG and ratio < COLLAPSED,
            f"generated images are becoming alike: they differ {ratio:.2f} times as much as the data; "
            + (
                "try a lower `lr`, or more channels"
                if self.student
                else "try `augment` diff (or ada), a lower `lr` or `loss` relativistic"
            ),
        ):
            return alarm
        if labels is None:
            return None
        ratio = diversity(images, labels) / max(self.within_classes, 1e-9)  # NaN is not below
        return self._alarm(
            "classes",
            kimg >= EARLY_KIMG and ratio < COLLAPSED_CLASSES,
            f"generated images of a class are alike: they differ {ratio:.2f} times as much as those of the data; "
            + ("try a lower `adversarial`" if self.student else "try `r1` 0.5 and `lazy` 8"),
        )

    def _alarm(self, name: str, wrong: bool, text: str) -> str | None:
        if not wrong:
            self.active.discard(name)
        elif name not in self.active:
            self.active.add(name)
            return f"alarm: {text}"
        return None

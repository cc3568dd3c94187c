"""A walk through the latent space, from seed to seed.

A leg of the walk is the great circle between the z of two seeds: a straight line would pass through z of a smaller
norm, which training has never shown to the generator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.classes import OfImage, class_number, labels, shares_of
from gantool.runtime.errors import UsageError
from gantool.runtime.latents import latents, slerp
from gantool.runtime.options import MorphOptions
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Latents, Spec


@dataclass(frozen=True)
class Walk:
    """The z of every frame: a walk through the seeds of each cell of the grid."""

    z: NDArray[np.float64]  # [cells, seeds, latent]
    classes: NDArray[np.int64] | None  # [cells, seeds]
    frames: int  # of a leg
    loop: bool  # go back to the first seed at the end
    ease: bool  # slow down at each seed
    fades: int = (
        0  # number of classes, for an engine with soft labels: they cross-fade; 0: they change halfway
    )

    @property
    def length(self) -> int:
        """The number of frames. A loop does not show its first seed again at the end."""
        seeds: int = self.z.shape[1]
        return self.frames * seeds if self.loop else self.frames * (seeds - 1) + 1

    def places(self) -> Iterator[tuple[tuple[int, int], OfImage | None]]:
        """Yield (frame, cell) and the class or the shares of classes, frame by frame."""
        for frame in range(self.length):
            for cell in range(len(self.z)):
                yield (frame, cell), self._class(cell, *self._leg(frame))

    def _class(self, cell: int, start: int, end: int, part: float) -> OfImage | None:
        if self.classes is None:
            return None
        if self.fades:
            one, other = shares_of(self.classes[cell, [start, end]].tolist(), self.fades)
            mix: NDArray[np.float32] = one * np.float32(1 - part) + other * np.float32(part)
            return mix
        return int(self.classes[cell, start if part < 0.5 else end])

    def at(self, places: Sequence[tuple[int, int]]) -> Latents:
        """Return the z of these places, float32 [n, latent]."""
        rows = []
        for frame, cell in places:
            start, end, part = self._leg(frame)
            rows.append(slerp(self.z[cell, start], self.z[cell, end], part))
        return np.stack(rows).astype(np.float32)

    def _leg(self, frame: int) -> tuple[int, int, float]:
        """Return the indices of the seeds between which a frame lies, and how far it is, from 0 to 1."""
        leg, step = divmod(frame, self.frames)
        part = step / self.frames
        if self.ease:
            part = (1 - math.cos(math.pi * part)) / 2
        return leg, (leg + 1) % self.z.shape[1], part


def walk_of(options: MorphOptions, spec: Spec, seeds: Seeds, cells: int) -> Walk:
    """Return the walks of all cells. Raises UsageError for a class that the engine does not have."""
    label = class_number(options.label, spec.class_names)
    classes = None
    if spec.classes != 0:
        classes = labels(seeds, spec.classes, label, spec.class_names).reshape(cells, -1)
    elif label is not None:
        raise UsageError(f"`label` {label} is for conditional generators: this engine takes no label")
    z = latents(seeds, spec.latent, spec.distribution, options.truncation, options.resample)
    return Walk(
        z.astype(np.float64).reshape(cells, -1, spec.latent),
        classes,
        options.frames,
        options.loop,
        options.ease,
        (spec.classes or 0) if spec.soft_labels else 0,
    )

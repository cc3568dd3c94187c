"""What an engine takes and gives, and what a backend must do with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]  # [N, H, W, C]
Latents = NDArray[np.float32]  # [N, latent]
Labels = NDArray[np.int64]  # [N], from 0


@dataclass(frozen=True)
class Spec:
    """The contract of one loaded engine."""

    latent: int
    height: int
    width: int
    channels: int  # 1 or 3
    min_batch: int = 1
    max_batch: int | None = None  # None: any
    dtype: Literal["uint8", "float32"] = "uint8"  # of the engine's output; infer gives uint8 either way
    # from the metadata of the graph or the sidecar
    distribution: str = "normal"  # of z
    classes: int | None = (
        0  # 0: the engine takes no label; None: it takes one, how many there are is not known
    )
    class_names: tuple[str, ...] = ()  # one for each class, or none


def class_names(metadata: dict[str, Any], classes: int | None) -> tuple[str, ...]:
    """Return the names of the classes in the metadata of a generator; () where there is not one for each."""
    names = metadata.get("class_names")
    if not isinstance(names, list) or len(names) != classes:
        return ()
    return tuple(map(str, names))


class Backend(Protocol):
    """One loaded engine."""

    @property
    def name(self) -> str:
        """The library that runs it, and on what, in words."""

    @property
    def spec(self) -> Spec:
        """What the engine takes and gives."""

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], into images, uint8 [n, H, W, C]; min_batch <= n <= max_batch.

        `label`, int64 [n], goes with engines whose `spec.classes` is not 0, and only with these.
        """

    def infer_each(self, batches: Iterable[tuple[Latents, Labels | None]]) -> Iterator[Images]:
        """Yield what `infer` returns for each batch, in order; a GPU has the next ones under way meanwhile."""

    def close(self) -> None:
        """Free the device. Calling it twice is harmless."""

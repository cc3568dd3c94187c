"""The inputs and outputs of an engine, and the protocol of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.authorship import UNKNOWN, Authorship

Images = NDArray[np.uint8 | np.uint16]  # [N, H, W, C]
ImageType = Literal["uint8", "uint16", "float32"]
Latents = NDArray[np.float32]  # [N, latent]
Labels = NDArray[
    np.int64 | np.float32
]  # int64 [N], from 0; float32 [N, classes] of an engine with soft labels


@dataclass(frozen=True)
class Spec:
    """The contract of one loaded engine."""

    latent: int
    height: int
    width: int
    channels: int  # 1: grey, 3: RGB, 4: straight RGBA
    min_batch: int = 1
    max_batch: int | None = None  # None: any
    dtype: ImageType = "uint8"  # of the engine's output; `infer` returns whole numbers either way
    bits: int = 8  # of an image that `infer` returns: 8 is uint8, 16 is uint16
    # from the metadata of the graph or the sidecar
    distribution: str = "normal"  # of z
    # 0: the engine takes no label; None: it takes one, but the number of classes is unknown
    classes: int | None = 0
    soft_labels: bool = False  # the label is the share of each class, float32 [N, classes]; else int64 [N]
    class_names: tuple[str, ...] = ()  # one for each class, or ()
    class_counts: tuple[int, ...] = ()  # training images of each class, or ()
    authorship: Authorship = UNKNOWN  # texts of the author

    @property
    def size(self) -> str:
        """The size of an image for messages, as "32×32×3": height, width, channels."""
        return f"{self.height}×{self.width}×{self.channels}{' in 16 bits' if self.bits == 16 else ''}"

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of the label of one image: () for a number, (classes,) for the share of each class."""
        return (self.classes or 0,) if self.soft_labels else ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image as the engine gives it: (H, W, C) of whole numbers, (C, H, W) of float32."""
        if self.dtype == "float32":
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels


@dataclass(frozen=True, eq=False)
class Batch:
    """The inputs of one run of an engine, and what its images are of: seeds, for example."""

    z: Latents
    label: Labels | None = None  # set if, and only if, `spec.classes` of the engine is not 0
    keys: Sequence[
        Any
    ] = ()  # what the first rows are of; the rest are padding up to the engine's smallest batch


class Backend(Protocol):
    """One loaded engine."""

    @property
    def name(self) -> str:
        """The library and device that run it, as "ONNX Runtime, CPU"."""

    @property
    def spec(self) -> Spec:
        """The inputs and outputs of the engine."""

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], into images, [n, H, W, C] of `spec.bits`; min_batch <= n <= max_batch.

        `label`, int64 [n] or, with `spec.soft_labels`, float32 [n, classes], is for engines whose `spec.classes`
        is not 0, and only for these.
        """

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        """Yield each batch with its images, as `infer` returns them, in order; compute ahead of the caller."""

    def close(self) -> None:
        """Free the device. Calling it twice is harmless."""

"""One of the two sets of buffers, each with a stream of its own, in which batches run in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gantool.runtime.backends.tensorrt.cuda import Device
from gantool.runtime.spec import Spec


@dataclass(eq=False)
class Sized:
    """An execution context, and the graph of its batch size: giving it another size makes the graph invalid."""

    context: Any = None
    batch: int = 0  # of the shapes that the context has
    runs: int = 0  # with these shapes
    graph: Any = None  # of these shapes


class Lane:
    """Memory for the largest batch, a stream, and an execution context for each of the last few batch sizes."""

    def __init__(self, device: Device, spec: Spec, label_type: DTypeLike | None) -> None:
        """Take all memory for inputs and images at once; contexts are added later, to `sized`."""
        self._device = device
        self.stream = device.stream()
        self.begun, self.ended = device.event(), device.event()
        batch = spec.max_batch or 1
        size = (spec.height, spec.width, spec.channels)
        if spec.dtype == "float32":
            size = (spec.channels, spec.height, spec.width)
        self.inputs = {"z": device.pinned((batch, spec.latent), np.float32)}  # [max batch, latent]
        if label_type is not None:
            self.inputs["label"] = device.pinned((batch,), label_type)  # [max batch]
        self.images = device.pinned((batch, *size), spec.dtype)
        buffers = {**self.inputs, "images": self.images}
        self.addresses = {name: device.beside(buffer) for name, buffer in buffers.items()}
        self.sized: list[Sized] = []  # the one that ran last is the last
        self.ticket: Ticket | None = None  # of the batch that is under way

    def upload(self, inputs: dict[str, NDArray[Any]]) -> None:
        """Queue the copies of inputs, each [n, ...]."""
        for name, value in inputs.items():
            pinned = self.inputs[name][: len(value)]
            pinned[:] = value
            self._device.upload(pinned, self.addresses[name], self.stream)

    def download(self, n: int) -> None:
        """Queue the copy of n images."""
        self._device.download(self.addresses["images"], self.images[:n], self.stream)

    def drop_graph(self, sized: Sized) -> None:
        """Free a graph, which must not be under way."""
        if sized.graph is not None:
            self._device.drop(sized.graph)
            sized.graph = None


@dataclass(eq=False)
class Ticket:
    """A batch that was started: its images when it is done, as the engine gives them."""

    lane: Lane
    n: int
    images: NDArray[Any] | None = None  # uint8 [n, H, W, C] or float32 [n, C, H, W]

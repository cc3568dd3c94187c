"""Double buffering: one of the two sets of buffers, each with its own stream, in which batches run in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.backends.tensorrt.cuda import Device
from gantool.runtime.spec import Spec


@dataclass(eq=False)
class ShapeContext:
    """An execution context and the CUDA graph of its batch size: another size makes the graph invalid."""

    execution: Any = None  # IExecutionContext
    batch: int = 0  # of the shapes that the context has
    runs: int = 0  # with these shapes
    graph: Any = None  # of these shapes


class BufferSet:
    """Memory for the largest batch, a stream, and an execution context for each of the last few batch sizes."""

    def __init__(self, device: Device, spec: Spec, label_type: str | None) -> None:
        """Allocate all memory for inputs and images at once; contexts are added later, to `contexts`."""
        self._device = device
        self.stream = device.stream()
        self.begun, self.ended = device.event(), device.event()
        batch = spec.max_batch or 1
        self.inputs = {"z": device.pinned((batch, spec.latent), np.float32)}  # [max batch, latent]
        if label_type is not None:
            self.inputs["label"] = device.pinned((batch,), label_type)  # [max batch]
        self.images = device.pinned((batch, *spec.image_shape), spec.dtype)
        arrays = {**self.inputs, "images": self.images}
        self.bindings = {name: device.device_address(array) for name, array in arrays.items()}
        self.contexts: list[ShapeContext] = []  # the one that ran last is the last
        self.pending: Pending | None = None  # the batch that is under way

    def upload(self, inputs: dict[str, NDArray[Any]]) -> None:
        """Queue the copies of inputs, each [n, ...]."""
        for name, value in inputs.items():
            pinned = self.inputs[name][: len(value)]
            pinned[:] = value
            self._device.upload(pinned, self.bindings[name], self.stream)

    def download(self, n: int) -> None:
        """Queue the copy of n images."""
        self._device.download(self.bindings["images"], self.images[:n], self.stream)

    def drop_graph(self, context: ShapeContext) -> None:
        """Free a graph, which must not be under way."""
        if context.graph is not None:
            self._device.destroy_graph(context.graph)
            context.graph = None


@dataclass(eq=False)
class Pending:
    """A batch that was started: its images when it is done, as the engine returns them."""

    buffers: BufferSet
    n: int
    images: NDArray[Any] | None = None  # uint8 [n, H, W, C] or float32 [n, C, H, W]

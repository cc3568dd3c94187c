"""The buffers for double buffering: batches run alternately in two sets, each with its own stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.backends.tensorrt.cuda import Device
from gantool.runtime.spec import Spec


@dataclass(eq=False)
class ShapeContext:
    """An execution context, and the CUDA graph of its batch size; changing the size invalidates the graph."""

    execution: Any = None  # IExecutionContext
    batch: int = 0  # of the shapes that the context has
    runs: int = 0  # with these shapes
    graph: Any = None  # of these shapes


class BufferSet:
    """Memory for the largest batch, a stream, and an execution context for each of the last few batch sizes."""

    def __init__(self, device: Device, spec: Spec, label_type: str | None) -> None:
        """Allocate all memory for inputs and images. The caller adds execution contexts to `contexts`."""
        self._device = device
        self.stream = device.stream()
        self.begun, self.ended = device.event(), device.event()
        batch = spec.max_batch or 1
        self.inputs = {"z": device.pinned((batch, spec.latent), np.float32)}  # [max batch, latent]
        if label_type is not None:  # [max batch], or [max batch, classes] of soft labels
            self.inputs["label"] = device.pinned((batch, *spec.label_shape), label_type)
        self.images = device.pinned((batch, *spec.image_shape), spec.dtype)
        arrays = {**self.inputs, "images": self.images}
        self.bindings = {name: device.device_address(array) for name, array in arrays.items()}
        self.contexts: list[ShapeContext] = []  # least recently used first
        self.pending: Pending | None = None  # the running batch

    def upload(self, inputs: dict[str, NDArray[Any]]) -> None:
        """Queue the copies of inputs, each [n, ...], to the GPU."""
        for name, value in inputs.items():
            pinned = self.inputs[name][: len(value)]
            pinned[:] = value
            self._device.upload(pinned, self.bindings[name], self.stream)

    def download(self, n: int) -> None:
        """Queue the copy of n images to the host."""
        self._device.download(self.bindings["images"], self.images[:n], self.stream)

    def drop_graph(self, context: ShapeContext) -> None:
        """Free the CUDA graph of a context; it must not be running."""
        if context.graph is not None:
            self._device.destroy_graph(context.graph)
            context.graph = None


@dataclass(eq=False)
class Pending:
    """A batch of n images that was started; `images` is set when it is done."""

    buffers: BufferSet
    n: int
    images: NDArray[Any] | None = None  # uint8 [n, H, W, C] or float32 [n, C, H, W]

"""Run a plan with TensorRT or TensorRT-RTX, whose Python modules have the same API for this."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gantool.runtime.artifacts.plan import NAMES, describe, read_header
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.backends.tensorrt.buffers import BufferSet, Pending, ShapeContext
from gantool.runtime.backends.tensorrt.cuda import Device, driver_problem, import_driver
from gantool.runtime.backends.tensorrt.library import (
    error_logger,
    import_library,
    load_error,
    no_gpu_error,
    pip_extra,
    version_problem,
)
from gantool.runtime.backends.tensorrt.rtx import RuntimeCache
from gantool.runtime.errors import EngineMismatchError, GantoolError, UsageError
from gantool.runtime.metadata import Metadata
from gantool.runtime.outputs.images import in_levels
from gantool.runtime.signature import Signature, Tensor
from gantool.runtime.spec import Batch, Images, Labels, Latents, Spec

# Batch sizes with their own context and CUDA graph; each context takes memory for the largest batch.
_SIZES = 3


class TensorRTBackend:
    """A generator's plan on GPU 0, double-buffered: two sets of buffers for the largest batch of profile 0.

    It starts the next batch while one runs, in another stream and context. With too little memory, and with
    TensorRT 8, it uses a single set of buffers. From the second batch of a size on, it launches a CUDA graph
    instead of the engine's kernels one by one; if capturing fails, it goes on without. It keeps the graphs of the
    last few sizes, each with its own execution context, because changing the shape of a context invalidates its
    graph (NVIDIA, Developer Guide, "CUDA Graphs"). Not thread-safe.
    """

    def __init__(self, path: Path, library: Any = None, driver: Any = None) -> None:
        """Load `path`. The engine library and `cuda.bindings.driver` are imported unless they are passed.

        Raises GantoolError for a plan that is damaged or not a generator; EngineMismatchError if it was built for
        another version or device, or if there is no driver; MissingDependencyError.
        """
        self._path = path
        self._device: Device | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._rtx: RuntimeCache | None = None
        self._buffer_sets: list[BufferSet] = []
        self._turn = 0
        self._graphs = True  # False after a capture failed
        self._sizes = _SIZES  # fewer after memory ran out
        self.compute_seconds: float | None = None  # of the last batch, without copies, by the GPU's clock
        # Check the file first, then the machine, and import the library last: it is large, and TensorRT's Runtime
        # crashes without a driver.
        self._header = read_header(path)
        self.name = NAMES[self._header.kind]
        metadata = _metadata(path)
        purpose = f"running {path.name}, a {describe(self._header)},"
        driver = driver or import_driver(pip_extra(self._header.kind), purpose)
        if (problem := driver_problem(driver)) is not None:
            raise no_gpu_error(path, self._header, problem)
        trt = library or import_library(self._header.kind, purpose)
        # TensorRT checks the version itself, and may load a version-compatible plan. TensorRT-RTX does not check.
        if self._header.kind == "rtx" and (problem := version_problem(path, self._header, trt)) is not None:
            raise EngineMismatchError(problem)
        with self._closing():
            self._load(trt, driver, metadata)

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, as `spec` has it, into images, [n, H, W, C].

        Raises UsageError for shapes that the engine does not accept, and GantoolError, after freeing everything,
        if the engine or the GPU fails.
        """
        return self._finish(self._start(z, label))

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        """Yield each batch with its images, as `infer` returns them, in order; two batches run at a time."""
        running: deque[tuple[Batch, Pending]] = deque()
        for batch in batches:
            if len(running) == len(self._buffer_sets):
                yield self._finished(*running.popleft())
            running.append((batch, self._start(batch.z, batch.label)))
        while running:
            yield self._finished(*running.popleft())

    def close(self) -> None:
        """Free the engine and the device. Calling it twice is harmless."""
        if self._device is None:
            return
        self._device.synchronize_all()  # the execution contexts own memory that may be in use
        for buffers in self._buffer_sets:
            for context in buffers.contexts:
                buffers.drop_graph(context)
        if self._rtx is not None and self._buffer_sets:
            self._rtx.save()
        # free in this order, while the CUDA context lives
        for buffers in self._buffer_sets:
            for context in buffers.contexts:
                context.execution = None
        self._buffer_sets = []
        self._rtx = None
        self._engine = None
        self._runtime = None
        self._device.close()
        self._device = None

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Free everything if the block fails."""
        try:
            yield
        except BaseException:
            self._rtx = None  # do not save the kernels of an engine that failed
            self.close()
            raise

    # Engine objects live in attributes only. The traceback of an error would keep a local variable alive past
    # `close`, and it would be freed after the CUDA context.

    def _load(self, trt: Any, driver: Any, metadata: Metadata) -> None:
        logger = error_logger(trt)
        self._errors: list[str] = logger.errors
        self._errors.clear()
        self._device = device = Device(driver)
        try:
            self._runtime = trt.Runtime(logger)
        except TypeError as error:  # the bindings raise it for a null pointer
            self._errors.append(str(error))
        if self._errors:  # for example, the driver is too old; such a Runtime may crash on its first use
            raise EngineMismatchError(
                f"{self.name} does not start: {self._reason()}; update the NVIDIA driver"
            )
        data = self._path.read_bytes()
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise load_error(self._path, self._header, trt, self._reason())
        signature = Signature.of_engine(self._path, _tensors(self._engine))
        spec = signature.spec(metadata)
        if spec.max_batch is None:
            smallest, _, largest = self._engine.get_tensor_profile_shape("z", 0)
            spec = replace(spec, min_batch=smallest[0], max_batch=largest[0])
        self.spec = spec
        if self._header.kind == "rtx":
            digest = hashlib.sha256(data).hexdigest()[:32]
            self._rtx = RuntimeCache(trt, self._engine, f"{digest}-{device.identity()}")
            self._graphs = False  # TensorRT-RTX captures graphs itself
        self._buffer_sets.append(self._new_buffers(spec, signature.label))
        # before 10, contexts cannot share an optimization profile
        if self._header.kind == "tensorrt" and str(trt.__version__).startswith("8."):
            self._sizes = 1
        else:
            with suppress(GantoolError):  # without memory for a second set it is slower, but works
                self._buffer_sets.append(self._new_buffers(spec, signature.label))

    def _new_buffers(self, spec: Spec, label_type: str | None) -> BufferSet:
        assert self._device is not None
        buffers = BufferSet(self._device, spec, label_type)
        self._add_context(buffers)
        return buffers

    def _add_context(self, buffers: BufferSet) -> None:
        """Add an execution context, which has no shape yet, to a set of buffers."""
        context = ShapeContext()
        if self._rtx is None:
            context.execution = self._engine.create_execution_context()
        else:
            context.execution = self._engine.create_execution_context(self._rtx.config)
        self._expect(context.execution is not None, "make an execution context")
        buffers.contexts.append(context)

    def _start(self, z: Latents, label: Labels | None) -> Pending:
        """Queue a batch in the next set of buffers."""
        if self._device is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        inputs = self._checked(z, label)
        buffers = self._buffer_sets[self._turn % len(self._buffer_sets)]
        with self._closing():
            if buffers.pending is not None:
                self._complete(buffers.pending)
            self._errors.clear()
            self._device.activate()  # the last call may have come from another thread
            context = self._of_size(buffers, inputs)
            if context.runs == 1 and self._graphs:  # the first run did the work that a new shape defers
                self._capture(buffers, context)
            buffers.upload(inputs)
            self._device.record(buffers.begun, buffers.stream)
            if context.graph is not None:
                self._device.launch(context.graph, buffers.stream)
            else:
                self._expect(context.execution.execute_async_v3(buffers.stream), f"run a batch of {len(z)}")
            self._device.record(buffers.ended, buffers.stream)
            buffers.download(len(z))
        context.runs += 1
        self._turn += 1
        buffers.pending = Pending(buffers, len(z))
        return buffers.pending

    def _finished(self, batch: Batch, pending: Pending) -> tuple[Batch, Images]:
        return batch, self._finish(pending)

    def _finish(self, pending: Pending) -> Images:
        """Return the images of a batch that was started."""
        if pending.images is None:
            if self._device is None:
                raise GantoolError(f"{self._path} is closed: load it again")
            with self._closing():
                self._complete(pending)
        assert pending.images is not None
        return in_levels(pending.images, self.spec.bits, None)

    def _complete(self, pending: Pending) -> None:
        """Wait for a batch, and copy its images out of the buffer, which a later batch will overwrite."""
        assert self._device is not None
        buffers = pending.buffers
        self._device.activate()
        self._device.synchronize(buffers.stream)
        self.compute_seconds = self._device.seconds(buffers.begun, buffers.ended)
        pending.images = buffers.images[: pending.n].copy()
        buffers.pending = None

    def _of_size(self, buffers: BufferSet, inputs: dict[str, NDArray[Any]]) -> ShapeContext:
        """Return the context for the batch size of `inputs`; if none has it, give it to a new or the oldest one."""
        batch = len(inputs["z"])
        context = next((one for one in buffers.contexts if one.batch == batch), None)
        if context is None:
            if self._graphs and buffers.contexts[0].batch and len(buffers.contexts) < self._sizes:
                try:
                    self._add_context(buffers)
                except GantoolError:  # no memory for one more: reuse the others
                    self._sizes = len(buffers.contexts)
                    self._errors.clear()
            context = buffers.contexts[-1] if not buffers.contexts[-1].batch else buffers.contexts[0]
            self._shape(buffers, context, inputs)
        buffers.contexts.remove(context)
        buffers.contexts.append(context)
        return context

    def _shape(self, buffers: BufferSet, context: ShapeContext, inputs: dict[str, NDArray[Any]]) -> None:
        """Set another batch size in a context; free its graph, which is for the old size."""
        buffers.drop_graph(context)
        context.batch = 0
        for name, value in inputs.items():
            self._expect(
                context.execution.set_input_shape(name, value.shape), f"take a batch of {len(value)}"
            )
        for name, address in buffers.bindings.items():
            self._expect(context.execution.set_tensor_address(name, address), f"take the address of {name}")
        context.batch, context.runs = len(inputs["z"]), 0

    def _capture(self, buffers: BufferSet, context: ShapeContext) -> None:
        """Capture the CUDA graph of a context's batch size. If that fails, use no graphs from now on."""
        assert self._device is not None
        context.graph = self._device.capture(
            lambda: bool(context.execution.execute_async_v3(buffers.stream)), buffers.stream
        )
        if context.graph is None:
            self._graphs = False
            self._errors.clear()

    def _checked(self, z: Latents, label: Labels | None) -> dict[str, NDArray[Any]]:
        """Return the inputs by name. Raises UsageError for shapes that the engine does not accept."""
        low, high, latent = self.spec.min_batch, self.spec.max_batch or 1, self.spec.latent
        if z.ndim != 2 or z.shape[1] != latent or not low <= len(z) <= high:
            raise UsageError(f"z is {list(z.shape)}, {self._path} takes [{low} to {high}, {latent}]")
        found = None if label is None else label.shape
        wanted = None if self.spec.classes == 0 else (len(z), *self.spec.label_shape)
        if found != wanted:
            raise UsageError(f"label has shape {found}, {self._path} takes {wanted}")
        return {"z": z} if label is None else {"z": z, "label": label}

    def _expect(self, done: bool, what: str) -> None:
        if not done:
            advice = "free memory on the GPU, or build the plan for smaller batches"
            raise GantoolError(f"{self.name} cannot {what} with {self._path}: {self._reason()}; {advice}")

    def _reason(self) -> str:
        return self._errors[0] if self._errors else "it logged no reason"  # later lines follow from the first


def _tensors(engine: Any) -> list[Tensor]:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [
        Tensor.of_tensorrt(
            name,
            engine.get_tensor_mode(name).name,
            engine.get_tensor_dtype(name).name,
            engine.get_tensor_shape(name),
        )
        for name in names
    ]


def _metadata(path: Path) -> Metadata:
    """Return the generator's metadata from the sidecar, empty without one. Raises GantoolError if it is damaged."""
    sidecar = read_sidecar(path)
    metadata = Metadata({}) if sidecar is None else sidecar.metadata
    metadata.check()
    return metadata

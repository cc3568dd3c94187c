"""The few calls of the CUDA driver API that an engine needs, through NVIDIA's cuda-bindings.

The driver API, not the runtime API: it comes with the driver and does not need the CUDA toolkit. Every call
returns a tuple whose first item is the status. Source: CUDA Driver API, NVIDIA.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gantool.runtime.errors import GantoolError, MissingDependencyError


def import_driver(extra: str, purpose: str) -> Any:
    """Return the module `cuda.bindings.driver`. Raises MissingDependencyError, which names `extra`."""
    try:
        from cuda.bindings import driver
    except ModuleNotFoundError as error:
        raise MissingDependencyError("cuda-bindings", extra, purpose) from error
    return driver


def driver_problem(driver: Any) -> str | None:
    """Return why no GPU can be used here, as a clause for a message, or None if one can be used."""
    try:
        (status,) = driver.cuInit(0)
    except RuntimeError:  # cuda-bindings 12.8; later versions raise the subclass DynamicLibNotFoundError
        return "no NVIDIA driver was found"
    if status == driver.CUresult.CUDA_SUCCESS:
        status, _ = driver.cuDeviceGet(0)
    if status == driver.CUresult.CUDA_SUCCESS:
        return None
    return f"the NVIDIA driver finds no usable GPU ({status.name})"


class Device:
    """The first GPU: its primary context, and the memory, streams and events allocated in it.

    Not thread-safe; another thread than the creating one must call `activate` first. Every method raises
    GantoolError if CUDA reports a failure, which may come from an earlier asynchronous call.
    """

    def __init__(self, driver: Any) -> None:
        """Open the primary context of GPU 0, which libraries in this process share."""
        self._driver = driver
        self._open = True
        self._streams: list[int] = []
        with ExitStack() as cleanup:
            self._do("cuInit", 0, what="start")
            (gpu,) = self._do("cuDeviceGet", 0, what="open GPU 0")
            (self._context,) = self._do("cuDevicePrimaryCtxRetain", gpu, what="open a context")
            cleanup.callback(driver.cuDevicePrimaryCtxRelease, gpu)
            self.activate()
            attribute = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED
            (shared,) = self._do("cuDeviceGetAttribute", attribute, gpu, what="report what it is")
            self.integrated = bool(shared)  # it shares the host's memory, as on a Jetson
            self._gpu = gpu
            # Frees in reverse order, and ignores the status of these calls. A CUDA failure is sticky: the first
            # call that returned it has already raised it.
            self._cleanup = cleanup.pop_all()

    def activate(self) -> None:
        """Make the context current in the calling thread."""
        self._do("cuCtxSetCurrent", self._context, what="use its context")

    def identity(self) -> str:
        """Return the GPU's name and the driver's version as part of a file name."""
        (name,) = self._do("cuDeviceGetName", 256, self._gpu, what="report its name")
        (version,) = self._do("cuDriverGetVersion", what="report its driver's version")
        plain = re.sub(r"\W+", "-", name.split(b"\0")[0].decode(errors="replace")).strip("-")
        return f"{plain}-{version}"

    def stream(self) -> int:
        """Return the handle of a new stream as an int, the type that TensorRT expects."""
        flags = int(self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
        (stream,) = self._do("cuStreamCreate", flags, what="make a stream")
        self._cleanup.callback(self._driver.cuStreamDestroy, stream)
        self._streams.append(int(stream))
        return int(stream)

    def event(self) -> Any:
        """Return a new event with timing enabled."""
        (event,) = self._do("cuEventCreate", 0, what="make an event")
        self._cleanup.callback(self._driver.cuEventDestroy, event)
        return event

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked host memory. Do not touch it after `close`."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        flags = self._driver.CU_MEMHOSTALLOC_DEVICEMAP
        (pointer,) = self._do("cuMemHostAlloc", size, flags, what=f"allocate {size} bytes of pinned memory")
        self._cleanup.callback(self._driver.cuMemFreeHost, pointer)
        memory = (ctypes.c_uint8 * size).from_address(int(pointer))
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def device_address(self, array: NDArray[Any]) -> int:
        """Return the device address for a pinned array: new GPU memory, or the same memory on an integrated GPU."""
        if self.integrated:
            (pointer,) = self._do("cuMemHostGetDevicePointer", array.ctypes.data, 0, what="map pinned memory")
            return int(pointer)
        (pointer,) = self._do("cuMemAlloc", array.nbytes, what=f"allocate {array.nbytes} bytes of GPU memory")
        self._cleanup.callback(self._driver.cuMemFree, pointer)
        return int(pointer)

    def upload(self, source: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy of a contiguous pinned array to the GPU, unless both share memory."""
        if not self.integrated:
            data = source.ctypes.data
            self._do("cuMemcpyHtoDAsync", address, data, source.nbytes, stream, what="copy to the GPU")

    def download(self, address: int, target: NDArray[Any], stream: int) -> None:
        """Queue a copy from the GPU into a contiguous pinned array; read it after `synchronize`."""
        if not self.integrated:
            data = target.ctypes.data
            self._do("cuMemcpyDtoHAsync", data, address, target.nbytes, stream, what="copy from the GPU")

    def record(self, event: Any, stream: int) -> None:
        """Queue the recording of an event."""
        self._do("cuEventRecord", event, stream, what="record the time")

    def seconds(self, start: Any, end: Any) -> float:
        """Return the time between two events that have completed."""
        (milliseconds,) = self._do("cuEventElapsedTime", start, end, what="measure the time")
        return float(milliseconds) / 1e3

    def capture(self, work: Callable[[], bool], stream: int) -> Any:
        """Capture the calls that `work` queues on `stream` as a CUDA graph; return it, or None if that fails."""
        driver = self._driver
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        if self._status(driver.cuStreamBeginCapture(stream, mode)):
            return None
        done, ready = False, None
        try:
            done = work()
        finally:  # end the capture even after an error: the stream must be usable again
            status, graph = driver.cuStreamEndCapture(stream)
            if status == driver.CUresult.CUDA_SUCCESS:
                if done:
                    status, ready = driver.cuGraphInstantiate(graph, 0)
                driver.cuGraphDestroy(graph)
        return ready if status == driver.CUresult.CUDA_SUCCESS else None

    def launch(self, graph: Any, stream: int) -> None:
        """Queue the work of a graph."""
        self._do("cuGraphLaunch", graph, stream, what="launch a graph")

    def destroy_graph(self, graph: Any) -> None:
        """Free a graph that no queued work uses."""
        self._driver.cuGraphExecDestroy(graph)

    def synchronize(self, stream: int) -> None:
        """Wait until all work queued on a stream is done."""
        self._do("cuStreamSynchronize", stream, what="finish its work")

    def synchronize_all(self) -> None:
        """Wait for all streams, so that memory can be freed. Raise nothing: it also runs after a failure."""
        if self._open:
            self._driver.cuCtxSetCurrent(self._context)
            for stream in self._streams:
                self._driver.cuStreamSynchronize(stream)

    def close(self) -> None:
        """Wait, then free all memory, streams, events and the context. Calling it twice is harmless."""
        self.synchronize_all()
        self._open = False
        self._cleanup.close()

    def _do(self, name: str, *arguments: Any, what: str) -> tuple[Any, ...]:
        """Call the driver; return its results without the status."""
        return _check(self._driver, getattr(self._driver, name)(*arguments), what)

    def _status(self, result: tuple[Any, ...]) -> bool:
        return bool(result[0] != self._driver.CUresult.CUDA_SUCCESS)


def _check(driver: Any, result: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """Return the results of a call without its status. Raises GantoolError for a failure."""
    status, *values = result
    if status == driver.CUresult.CUDA_SUCCESS:
        return tuple(values)
    out_of_memory = status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
    advice = "free memory on it, or build for smaller batches" if out_of_memory else "check nvidia-smi"
    raise GantoolError(f"the GPU cannot {what} ({status.name}): {advice}")

"""The few calls of the CUDA driver API that an engine needs, through NVIDIA's cuda-bindings.

The driver API and not the runtime API: it is there with the driver and needs no CUDA toolkit. Every call
returns a tuple whose first item is the status. Source: CUDA Driver API, NVIDIA.
"""

from __future__ import annotations

import ctypes
import math
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gantool.runtime.errors import GantoolError, MissingDependencyError


def import_driver(extra: str, purpose: str) -> Any:
    """Return the module `cuda.bindings.driver`; MissingDependencyError names `extra` where it is missing."""
    try:
        from cuda.bindings import driver
    except ModuleNotFoundError as error:
        raise MissingDependencyError("cuda-bindings", extra, purpose) from error
    return driver


def driver_problem(driver: Any) -> str | None:
    """Say why no GPU can be used here, in words that fit into a sentence, or None if one can."""
    try:
        (status,) = driver.cuInit(0)
    except RuntimeError:  # 12.8 raises it bare, later ones DynamicLibNotFoundError, which is derived from it
        return "no NVIDIA driver was found"
    if status == driver.CUresult.CUDA_SUCCESS:
        status, _ = driver.cuDeviceGet(0)
    if status == driver.CUresult.CUDA_SUCCESS:
        return None
    return f"the NVIDIA driver finds no usable GPU ({status.name})"


class Device:
    """The first GPU: its primary context, one stream, and the memory that was taken through it.

    For one thread at a time; another thread calls `activate` first. Every method raises GantoolError if CUDA
    reports a failure, which may be that of an earlier asynchronous call.
    """

    def __init__(self, driver: Any) -> None:
        """Open the primary context of GPU 0, which libraries in this process share, and a stream."""
        self._driver = driver
        self._open = True
        with ExitStack() as cleanup:
            _check(driver, driver.cuInit(0), "start")
            (gpu,) = _check(driver, driver.cuDeviceGet(0), "open GPU 0")
            (self._context,) = _check(driver, driver.cuDevicePrimaryCtxRetain(gpu), "open a context")
            cleanup.callback(driver.cuDevicePrimaryCtxRelease, gpu)
            self.activate()
            flags = int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
            (stream,) = _check(driver, driver.cuStreamCreate(flags), "make a stream")
            cleanup.callback(driver.cuStreamDestroy, stream)
            self.stream = int(stream)  # the handle, as TensorRT wants it
            # Frees in reverse order. A failure is sticky, every later call returns it too and it was raised
            # when it came: what the calls that free return is therefore not looked at.
            self._cleanup = cleanup.pop_all()

    def activate(self) -> None:
        """Make the context current in the calling thread."""
        _check(self._driver, self._driver.cuCtxSetCurrent(self._context), "use its context")

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked host memory. It must not be touched after `close`."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        taken = self._driver.cuMemHostAlloc(size, self._driver.CU_MEMHOSTALLOC_DEVICEMAP)
        (pointer,) = _check(self._driver, taken, f"take {size} bytes of pinned memory")
        self._cleanup.callback(self._driver.cuMemFreeHost, pointer)
        memory = (ctypes.c_uint8 * size).from_address(int(pointer))
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def memory(self, size: int) -> int:
        """Return the address of `size` bytes on the GPU."""
        taken = self._driver.cuMemAlloc(size)
        (pointer,) = _check(self._driver, taken, f"take {size} bytes of GPU memory")
        self._cleanup.callback(self._driver.cuMemFree, pointer)
        return int(pointer)

    def upload(self, source: NDArray[Any], address: int) -> None:
        """Queue a copy of a contiguous pinned array to the GPU."""
        driver = self._driver
        queued = driver.cuMemcpyHtoDAsync(address, source.ctypes.data, source.nbytes, self.stream)
        _check(driver, queued, "copy to the GPU")

    def download(self, address: int, target: NDArray[Any]) -> None:
        """Queue a copy from the GPU into a contiguous pinned array, to be read after `synchronize`."""
        driver = self._driver
        queued = driver.cuMemcpyDtoHAsync(target.ctypes.data, address, target.nbytes, self.stream)
        _check(driver, queued, "copy from the GPU")

    def synchronize(self) -> None:
        """Wait until all that was queued is done."""
        _check(self._driver, self._driver.cuStreamSynchronize(self.stream), "finish its work")

    def settle(self) -> None:
        """Wait as well, before anything in use is freed: after a failure, too, so nothing is raised."""
        if self._open:
            self._driver.cuCtxSetCurrent(self._context)
            self._driver.cuStreamSynchronize(self.stream)

    def close(self) -> None:
        """Wait, then free all memory, the stream and the context. Calling it twice is harmless."""
        self.settle()
        self._open = False
        self._cleanup.close()


def _check(driver: Any, result: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """Return what a call returned besides its status."""
    status, *values = result
    if status == driver.CUresult.CUDA_SUCCESS:
        return tuple(values)
    full = status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
    advice = "free memory on it, or build for smaller batches" if full else "look at nvidia-smi"
    raise GantoolError(f"the GPU cannot {what} ({status.name}): {advice}")

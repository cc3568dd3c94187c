"""A strict stand-in for `cuda.bindings.driver` and for the module `tensorrt` or `tensorrt_rtx`.

It runs no engine: it turns z into `images_of(z)`, and checks how it is asked to. Work is queued and done at
synchronization, so what is read too early is 0xCD. Memory that a queued call uses must not be freed, engine
objects must be gone before the CUDA context is, and every call needs that context in its own thread.
`test_tensorrt_contract.py` holds its public names and parameters against the real modules.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

GPU, CONTEXT, STREAM = 0, 0x1000, 0x2000  # what the driver hands out for them
FIRST_ERROR, LATER_ERROR = "Error Code 1: the first reason", "Error Code 2: noise that follows from it"


def plan_bytes(kind: str, version: tuple[int, int, int, int], bits: int = 0x04) -> bytes:
    """Return a plan that is a header, as gantool.runtime.plan describes it, and little else."""
    tag = {"tensorrt": b"ftrt", "rtx": b"vtrt"}[kind]
    return struct.pack("<4sIQQ4B4sI", tag, 0, 2, 64, *version, tag, bits).ljust(64, b"\0")


def images_of(z: NDArray[np.float32], shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return what the fake engine makes of z [n, latent]: every pixel of an image is one value of its own z."""
    n = len(z)
    pixels = np.resize(np.arange(z.shape[1]), shape)  # which value of z each pixel shows
    signed = np.tanh(z)[:, pixels.ravel()].reshape(n, *shape)
    return signed if dtype == "FLOAT" else (signed * 127.5 + 128).astype(np.uint8)


@dataclass(eq=False)
class World:
    """What the fakes share: what is alive, what is queued, what shall fail, and what was done wrong."""

    tensors: dict[str, tuple[str, str, tuple[int, ...]]] = field(
        default_factory=lambda: {
            "z": ("INPUT", "FLOAT", (-1, 6)),
            "images": ("OUTPUT", "UINT8", (-1, 4, 5, 3)),
        }
    )
    batches: tuple[int, int, int] = (1, 2, 4)
    # name of a call -> which of its calls fails (1 is the first); driver calls return out of memory
    fail: dict[str, int] = field(default_factory=dict)
    reason: str = FIRST_ERROR
    no_driver: type[Exception] | None = None
    init_status: int = 0

    host: dict[int, ctypes.Array[Any]] = field(default_factory=dict)
    device: dict[int, ctypes.Array[Any]] = field(default_factory=dict)
    queue: list[tuple[Callable[[], None], tuple[int, ...]]] = field(default_factory=list)
    retained: int = 0
    streams: int = 0
    objects: Counter[str] = field(default_factory=Counter)  # engine objects alive
    calls: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    current: threading.local = field(default_factory=threading.local)

    def fails(self, name: str) -> bool:
        self.calls[name] += 1
        self.order.append(name)
        return self.fail.get(name) == self.calls[name]

    def require(self, truth: bool, what: str) -> None:
        if not truth:
            self.wrong.append(what)  # kept as well: what is raised while freeing may be lost
            raise AssertionError(what)

    def check_context(self, name: str) -> None:
        self.require(self.retained > 0, f"{name} without a context")
        self.require(getattr(self.current, "context", None) == CONTEXT, f"{name}: no context in this thread")

    def check_all_freed(self) -> None:
        assert not self.wrong
        assert not self.host, "pinned memory left"
        assert not self.device, "device memory left"
        assert self.retained == self.streams == 0
        assert not +self.objects, f"engine objects left: {+self.objects}"

    def find(self, memory: dict[int, ctypes.Array[Any]], address: int, size: int, what: str) -> int:
        """Return the base of the live block that holds address..address+size."""
        for base, block in memory.items():
            if base <= address and address + size <= base + len(block):
                return base
        self.require(False, f"{what}: {size} bytes at {address:#x} are not in a live block")
        raise AssertionError


class Handle:
    """A CUstream or CUdeviceptr: int() gives its value, and it is no int."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __int__(self) -> int:
        return self._value


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100


class CUstream_flags(IntEnum):  # noqa: N801
    CU_STREAM_NON_BLOCKING = 1


class FakeDriver:
    """cuda.bindings.driver."""

    CUresult = CUresult
    CUstream_flags = CUstream_flags
    CU_MEMHOSTALLOC_DEVICEMAP = 2

    def __init__(self, world: World) -> None:
        self._world = world

    def _status(self, name: str) -> CUresult:
        return CUresult.CUDA_ERROR_OUT_OF_MEMORY if self._world.fails(name) else CUresult.CUDA_SUCCESS

    def cuInit(self, Flags: int) -> tuple[CUresult]:  # noqa: N802, N803
        assert Flags == 0
        if self._world.no_driver is not None:
            raise self._world.no_driver("no libcuda.so.1")
        return (CUresult(self._world.init_status),)

    def cuDeviceGet(self, ordinal: int) -> tuple[CUresult, int | None]:  # noqa: N802
        assert ordinal == GPU
        status = self._status("cuDeviceGet")
        return status, None if status else GPU

    def cuDevicePrimaryCtxRetain(self, dev: int) -> tuple[CUresult, int | None]:  # noqa: N802
        assert dev == GPU
        status = self._status("cuDevicePrimaryCtxRetain")
        if status:
            return status, None
        self._world.retained += 1
        return status, CONTEXT

    def cuDevicePrimaryCtxRelease(self, dev: int) -> tuple[CUresult]:  # noqa: N802
        world = self._world
        world.require(dev == GPU and world.retained > 0, "a context released that was not retained")
        world.require(not +world.objects, f"the context is released under {+world.objects}")
        world.require(not world.host and not world.device, "the context is released before its memory")
        world.require(world.streams == 0, "the context is released before its stream")
        world.retained -= 1
        return (self._status("cuDevicePrimaryCtxRelease"),)

    def cuCtxSetCurrent(self, ctx: int) -> tuple[CUresult]:  # noqa: N802
        self._world.require(ctx == CONTEXT and self._world.retained > 0, "a dead context made current")
        status = self._status("cuCtxSetCurrent")
        if not status:
            self._world.current.context = ctx
        return (status,)

    def cuStreamCreate(self, Flags: int) -> tuple[CUresult, Handle | None]:  # noqa: N802, N803
        self._world.check_context("cuStreamCreate")
        assert Flags == CUstream_flags.CU_STREAM_NON_BLOCKING
        status = self._status("cuStreamCreate")
        if status:
            return status, None
        self._world.streams += 1
        return status, Handle(STREAM)

    def cuStreamDestroy(self, hStream: int) -> tuple[CUresult]:  # noqa: N802, N803
        self._world.check_context("cuStreamDestroy")
        self._world.require(int(hStream) == STREAM and self._world.streams > 0, "a dead stream destroyed")
        self._world.require(not self._world.queue, "the stream is destroyed with work queued")
        self._world.streams -= 1
        return (self._status("cuStreamDestroy"),)

    def cuStreamSynchronize(self, hStream: int) -> tuple[CUresult]:  # noqa: N802, N803
        self._world.check_context("cuStreamSynchronize")
        self._world.require(int(hStream) == STREAM and self._world.streams > 0, "a dead stream")
        status = self._status("cuStreamSynchronize")
        work, self._world.queue = self._world.queue, []
        for action, _ in work:
            if not status:  # a GPU that failed does no more, and waits for nothing
                action()
        return (status,)

    def cuMemHostAlloc(self, bytesize: int, Flags: int) -> tuple[CUresult, int | None]:  # noqa: N802, N803
        assert Flags == self.CU_MEMHOSTALLOC_DEVICEMAP
        return self._allocate("cuMemHostAlloc", bytesize, self._world.host)

    def cuMemAlloc(self, bytesize: int) -> tuple[CUresult, Handle | None]:  # noqa: N802
        status, address = self._allocate("cuMemAlloc", bytesize, self._world.device)
        return status, None if address is None else Handle(address)

    def _allocate(
        self, name: str, size: int, memory: dict[int, ctypes.Array[Any]]
    ) -> tuple[CUresult, int | None]:
        self._world.check_context(name)
        assert size > 0
        status = self._status(name)
        if status:
            return status, None
        block = (ctypes.c_uint8 * size)(*b"\xcd" * size)
        memory[ctypes.addressof(block)] = block
        return status, ctypes.addressof(block)

    def cuMemFreeHost(self, p: int) -> tuple[CUresult]:  # noqa: N802
        return self._free("cuMemFreeHost", p, self._world.host)

    def cuMemFree(self, dptr: int) -> tuple[CUresult]:  # noqa: N802
        return self._free("cuMemFree", int(dptr), self._world.device)

    def _free(self, name: str, address: int, memory: dict[int, ctypes.Array[Any]]) -> tuple[CUresult]:
        world = self._world
        world.check_context(name)
        world.require(address in memory, f"{name} of memory that is not alive")
        used = {base for _, bases in world.queue for base in bases}
        world.require(address not in used, f"{name} of memory in use")
        world.require(not world.objects["context"], f"{name} while the execution context may use it")
        block = memory.pop(address)
        ctypes.memset(block, 0xDD, len(block))
        return (self._status(name),)

    def cuMemcpyHtoDAsync(  # noqa: N802
        self,
        dstDevice: int,  # noqa: N803
        srcHost: int,  # noqa: N803
        ByteCount: int,  # noqa: N803
        hStream: int,  # noqa: N803
    ) -> tuple[CUresult]:
        target = self._world.find(self._world.device, dstDevice, ByteCount, "copy to the device")
        source = self._world.find(self._world.host, srcHost, ByteCount, "copy from the host")
        return self._copy("cuMemcpyHtoDAsync", dstDevice, srcHost, ByteCount, hStream, (target, source))

    def cuMemcpyDtoHAsync(  # noqa: N802
        self,
        dstHost: int,  # noqa: N803
        srcDevice: int,  # noqa: N803
        ByteCount: int,  # noqa: N803
        hStream: int,  # noqa: N803
    ) -> tuple[CUresult]:
        target = self._world.find(self._world.host, dstHost, ByteCount, "copy to the host")
        source = self._world.find(self._world.device, srcDevice, ByteCount, "copy from the device")
        return self._copy("cuMemcpyDtoHAsync", dstHost, srcDevice, ByteCount, hStream, (target, source))

    def _copy(
        self, name: str, target: int, source: int, size: int, stream: int, bases: tuple[int, ...]
    ) -> tuple[CUresult]:
        self._world.check_context(name)
        self._world.require(stream == STREAM, "another stream")
        status = self._status(name)
        if not status:
            self._world.queue.append((lambda: _move(target, source, size), bases))
        return (status,)


def _move(target: int, source: int, size: int) -> None:
    ctypes.memmove(target, source, size)


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self._made = True  # the bindings crash on a subclass that forgets to call this


class TensorIOMode(IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    INT64 = 8


class FakeTensorRT:
    """The module tensorrt or tensorrt_rtx."""

    ILogger = ILogger
    TensorIOMode = TensorIOMode
    DataType = DataType

    def __init__(self, world: World, version: str) -> None:
        self.__version__ = version
        self._world = world

    def Runtime(self, logger: Any) -> Runtime:  # noqa: N802
        return Runtime(self._world, logger)


class Tracked:
    """An engine object: it counts as alive until Python drops it, and must go while the CUDA context lives."""

    def __init__(self, world: World, kind: str) -> None:
        world.check_context(f"a new {kind}")
        self._world, self._kind = world, kind
        world.objects[kind] += 1

    def __del__(self) -> None:
        if not hasattr(self, "_kind"):
            return
        self._world.objects[self._kind] -= 1
        if not self._world.retained:
            self._world.wrong.append(f"the {self._kind} outlived the CUDA context")
        if self._kind == "context" and self._world.queue:
            self._world.wrong.append("the execution context was freed while it ran")


class Runtime(Tracked):
    def __init__(self, world: World, logger: Any) -> None:
        assert logger._made
        super().__init__(world, "runtime")
        self._logger = logger
        self._sound = not world.fails("Runtime")
        if not self._sound:
            _complain(self)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        self._world.require(self._sound, "a Runtime that logged an error was used: the real one crashes")
        assert serialized_engine[:4] in (b"ftrt", b"vtrt")
        if self._world.fails("deserialize_cuda_engine"):
            _complain(self)
            return None
        return Engine(self)


class Engine(Tracked):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime._world, "engine")
        self._runtime, self._logger = runtime, runtime._logger

    @property
    def num_io_tensors(self) -> int:
        return len(self._world.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._world.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode[self._world.tensors[name][0]]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._world.tensors[name][1]]

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self._world.tensors[name][2])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        mode, _, shape = self._world.tensors[name]
        assert (mode, profile_index) == ("INPUT", 0)
        return [[batch, *shape[1:]] for batch in self._world.batches]

    def create_execution_context(self) -> Context | None:
        if self._world.fails("create_execution_context"):
            _complain(self)
            return None
        return Context(self)


class Context(Tracked):
    def __init__(self, engine: Engine) -> None:
        super().__init__(engine._world, "context")
        self._engine, self._logger = engine, engine._logger
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        world = self._world
        world.check_context("set_input_shape")
        world.require(world.tensors[name][0] == "INPUT", f"the shape of {name}, which is no input")
        low, _, high = world.batches
        if world.fails("set_input_shape") or not low <= shape[0] <= high:
            _complain(self)
            return False
        assert shape[1:] == world.tensors[name][2][1:]
        self._shapes[name], self._addresses = shape, {}
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        world = self._world
        world.require(name not in self._missing(), "an address before the shape")
        world.require(name in world.tensors, f"the address of {name}, which the engine does not have")
        world.require(type(memory) is int and memory in world.device, f"{name}: a dead pointer")
        if world.fails("set_tensor_address"):
            _complain(self)
            return False
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        world = self._world
        world.check_context("execute_async_v3")
        world.require(type(stream_handle) is int and stream_handle == STREAM, "another stream")
        world.require(not self._missing(), "run without a shape")
        world.require(set(self._addresses) == set(world.tensors), "run without the address of every tensor")
        if world.fails("execute_async_v3"):
            _complain(self)
            return False
        (n, latent), (_, kind, shape) = self._shapes["z"], world.tensors["images"]
        source, target = self._addresses["z"], self._addresses["images"]
        size = n * int(np.prod(shape[1:])) * (4 if kind == "FLOAT" else 1)
        world.find(world.device, source, n * latent * 4, "z")
        world.find(world.device, target, size, "images")

        def run() -> None:
            z = np.frombuffer(ctypes.string_at(source, n * latent * 4), np.float32).reshape(n, latent)
            images = images_of(z, shape[1:], kind)
            if "label" in self._addresses:
                kind_of_label = np.dtype(world.tensors["label"][1].lower())
                given = ctypes.string_at(self._addresses["label"], n * kind_of_label.itemsize)
                images = images + np.frombuffer(given, kind_of_label).astype(images.dtype).reshape(
                    -1, 1, 1, 1
                )
            assert images.nbytes == size
            ctypes.memmove(target, images.tobytes(), size)

        world.queue.append((run, (source, target)))
        self._shapes = {}  # to be set again before every run
        return True

    def _missing(self) -> set[str]:
        tensors = self._world.tensors
        return {name for name in tensors if tensors[name][0] == "INPUT"} - set(self._shapes)


def _complain(item: Any) -> None:
    """Log as the libraries do: some chatter, the reason, and what follows from it."""
    log: Callable[[Severity, str], None] = item._logger.log
    log(Severity.INFO, "Loaded engine size: 0 MiB")
    log(Severity.ERROR, item._world.reason)
    log(Severity.ERROR, LATER_ERROR)

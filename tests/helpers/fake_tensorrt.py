"""A strict stand-in for the module `tensorrt` or `tensorrt_rtx`, on the stand-in driver of standin/libcuda.c.

It checks how it is asked to work: shapes within the profile, every address set and alive, a device pointer where
one is due, a graph only after a run of its shape, and launched only while its context keeps that shape, engine
objects gone before the CUDA context is, and that context in the thread of every call. A plan that is a header alone
turns z into `images_of(z)`; one with an ONNX graph behind its header runs it with ONNX Runtime.
`test_tensorrt_contract.py` holds its public names and parameters against the real modules.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST_ERROR, LATER_ERROR = "Error Code 1: the first reason", "Error Code 2: noise that follows from it"
HEADER = 64
CACHE = b"kernels of the stand-in"


def plan_bytes(kind: str, version: tuple[int, int, int, int], bits: int = 0x04, graph: bytes = b"") -> bytes:
    """Return a plan that is a header, as gantool.runtime.artifacts.plan describes it, and perhaps a graph."""
    tag = {"tensorrt": b"ftrt", "rtx": b"vtrt"}[kind]
    head = struct.pack("<4sIQQ4B4sI", tag, 0, 2, HEADER + len(graph), *version, tag, bits)
    return head.ljust(HEADER, b"\0") + graph


def images_of(z: NDArray[np.float32], shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return what a plan without a graph makes of z [n, latent]: each pixel is one value of its own z."""
    n = len(z)
    pixels = np.resize(np.arange(z.shape[1]), shape)  # which value of z each pixel shows
    signed = np.tanh(z)[:, pixels.ravel()].reshape(n, *shape)
    return signed if dtype == "FLOAT" else (signed * 127.5 + 128).astype(np.uint8)


@functools.cache
def cuda() -> ctypes.CDLL:
    """Return the stand-in driver, which LD_LIBRARY_PATH must put first."""
    library = ctypes.CDLL("libcuda.so.1")
    library.standin_wrong.restype = library.standin_left.restype = ctypes.c_char_p
    library.standin_alive.argtypes = [ctypes.c_uint64, ctypes.c_size_t, ctypes.c_int]
    library.standin_enqueue.argtypes = [ctypes.c_void_p, CALL, ctypes.c_void_p]
    library.standin_capturing.argtypes = [ctypes.c_void_p]
    return library


CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@dataclass(eq=False)
class World:
    """What the fakes share: what the engine is, what shall fail, and what was done wrong."""

    tensors: dict[str, tuple[str, str, tuple[int, ...]]] = field(
        default_factory=lambda: {
            "z": ("INPUT", "FLOAT", (-1, 6)),
            "images": ("OUTPUT", "UINT8", (-1, 4, 5, 3)),
        }
    )
    batches: tuple[int, int, int] = (1, 2, 4)
    # name of a call -> which of its calls fails (1 is the first); driver calls return out of memory
    fail: dict[str, int] = field(default_factory=dict)
    sticky: bool = False  # the GPU is lost from the failing call on
    integrated: bool = False
    capturable: bool = True
    reason: str = FIRST_ERROR

    objects: Counter[str] = field(default_factory=Counter)  # engine objects alive
    calls: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    queued: list[Any] = field(default_factory=list)  # what the driver will call must stay alive

    def __post_init__(self) -> None:
        if "STANDIN_REPORT" in os.environ:  # a process of its own, to which the driver was told already
            return
        of_driver = [(name, nth) for name, nth in self.fail.items() if name.startswith("cu")] or [("", 0)]
        for name, nth in of_driver:
            cuda().standin_fail(name.encode(), nth, int(self.sticky))
        cuda().standin_integrated(int(self.integrated))

    def fails(self, name: str) -> bool:
        self.calls[name] += 1
        return self.fail.get(name) == self.calls[name]

    def require(self, truth: bool, what: str) -> None:
        if not truth:
            self.wrong.append(what)  # kept as well: what is raised while freeing may be lost
            raise AssertionError(what)

    def check_context(self, name: str) -> None:
        self.require(bool(cuda().standin_context()), f"{name}: no context in this thread")

    def count(self, name: str) -> int:
        """Return how often a call of the driver or the library was made."""
        return int(cuda().standin_calls(name.encode())) if name.startswith("cu") else self.calls[name]

    def check_all_freed(self) -> None:
        problems = [*self.wrong, cuda().standin_wrong().decode(), cuda().standin_left().decode()]
        assert not any(problems), problems
        assert not +self.objects, f"engine objects left: {+self.objects}"


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


class CudaGraphStrategy(IntEnum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class FakeTensorRT:
    """The module tensorrt or tensorrt_rtx."""

    ILogger = ILogger
    TensorIOMode = TensorIOMode
    DataType = DataType
    CudaGraphStrategy = CudaGraphStrategy

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
        if kind == "context":
            cuda().standin_use(1)

    def __del__(self) -> None:
        if not hasattr(self, "_kind") or sys.is_finalizing():
            return
        self._world.objects[self._kind] -= 1
        if not cuda().standin_retained():
            self._world.wrong.append(f"the {self._kind} outlived the CUDA context")
        if self._kind == "context":
            cuda().standin_use(-1)
            if cuda().standin_queued():
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
        return Engine(self, serialized_engine[HEADER:])


class Engine(Tracked):
    def __init__(self, runtime: Runtime, graph: bytes) -> None:
        super().__init__(runtime._world, "engine")
        self._runtime, self._logger = runtime, runtime._logger
        self._session: Any = None
        if graph:
            import onnxruntime

            self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
            types = {"tensor(float)": "FLOAT", "tensor(uint8)": "UINT8", "tensor(int64)": "INT64"}
            found = [("INPUT", node) for node in self._session.get_inputs()]
            found += [("OUTPUT", node) for node in self._session.get_outputs()]
            self._world.tensors = {
                node.name: (mode, types[node.type], (-1, *node.shape[1:])) for mode, node in found
            }

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

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self._world, "runtime config")

    def create_execution_context(self, runtime_config: RuntimeConfig | None = None) -> Context | None:
        if self._world.fails("create_execution_context"):
            _complain(self)
            return None
        return Context(self, runtime_config)


def _images(session: Any, world: World, inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
    if session is not None:
        return np.asarray(session.run(["images"], inputs)[0])
    _, kind, shape = world.tensors["images"]
    images = images_of(inputs["z"], shape[1:], kind)
    if "label" in inputs:
        label = inputs["label"]
        if label.ndim == 2:  # soft: the mean class
            label = label @ np.arange(label.shape[1])
        images = images + label.astype(images.dtype).reshape(-1, 1, 1, 1)
    return images


class RuntimeConfig(Tracked):
    cuda_graph_strategy = CudaGraphStrategy.DISABLED

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache(self._world, "runtime cache")

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self._cache = cache
        return True


class RuntimeCache(Tracked):
    def deserialize(self, blob: bytes) -> bool:
        self._world.calls["deserialize"] += 1
        self._world.calls["cache hit"] += blob == CACHE
        return blob == CACHE

    def serialize(self) -> bytes:
        return CACHE


class Context(Tracked):
    def __init__(self, engine: Engine, config: RuntimeConfig | None) -> None:
        super().__init__(engine._world, "context")
        self._engine, self._logger, self._config = engine, engine._logger, config
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._stream: int | None = None
        self._runs = 0  # of these shapes
        self._change = [0]  # how often they were set

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        world = self._world
        world.check_context("set_input_shape")
        world.require(world.tensors[name][0] == "INPUT", f"the shape of {name}, which is no input")
        low, _, high = world.batches
        if world.fails("set_input_shape") or not low <= shape[0] <= high:
            _complain(self)
            return False
        assert shape[1:] == world.tensors[name][2][1:]
        self._shapes[name], self._runs = shape, 0
        self._change[0] += 1
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        world = self._world
        world.require(name not in self._missing(), "an address before the shape")
        world.require(name in world.tensors, f"the address of {name}, which the engine does not have")
        world.require(type(memory) is int, f"{name}: an address that is no int")
        self._alive(name, memory, 1)
        if world.fails("set_tensor_address"):
            _complain(self)
            return False
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        world = self._world
        world.check_context("execute_async_v3")
        world.require(type(stream_handle) is int, "a stream that is no int")
        world.require(self._stream in (None, stream_handle), "one context in two streams")
        world.require(not self._missing(), "run without a shape")
        world.require(set(self._addresses) == set(world.tensors), "run without the address of every tensor")
        world.require(len({shape[0] for shape in self._shapes.values()}) == 1, "inputs of different batches")
        capturing = bool(cuda().standin_capturing(stream_handle))
        world.require(not capturing or self._runs > 0, "captured before the first run of a shape")
        if world.fails("execute_async_v3") or (capturing and not world.capturable):
            _complain(self)
            return False
        n = self._shapes["z"][0]
        _, kind, shape = world.tensors["images"]
        size = n * int(np.prod(shape[1:])) * (4 if kind == "FLOAT" else 1)
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        self._alive("images", addresses["images"], size)
        for name, dims in shapes.items():
            self._alive(name, addresses[name], int(np.prod(dims)) * self._type(name).itemsize)
        types = {name: self._type(name) for name in shapes}
        change, changed = self._change, self._change[0]
        session = self._engine._session  # and not `self`: what is queued must not keep engine objects alive

        def run(_: int) -> None:
            try:
                assert not capturing or change[0] == changed, (
                    "a graph was launched after its context's shapes changed"
                )
                inputs = {}
                for name, dims in shapes.items():
                    count = int(np.prod(dims)) * types[name].itemsize
                    data = ctypes.string_at(addresses[name], count)
                    inputs[name] = np.frombuffer(data, types[name]).reshape(dims)
                images = np.ascontiguousarray(_images(session, world, inputs))
                assert images.nbytes == size
                ctypes.memmove(addresses["images"], images.tobytes(), size)
            except BaseException as error:  # ctypes would drop it
                world.wrong.append(repr(error))

        call = CALL(run)
        world.queued.append(call)
        assert cuda().standin_enqueue(stream_handle, call, None) == 0
        self._stream = stream_handle
        self._runs += not capturing
        return True

    def _alive(self, name: str, address: int, size: int) -> None:
        mapped = int(self._world.integrated or "STANDIN_INTEGRATED" in os.environ)
        self._world.require(
            bool(cuda().standin_alive(address, size, mapped)), f"{name}: no live device memory"
        )

    def _type(self, name: str) -> np.dtype[Any]:
        return np.dtype(
            {"FLOAT": "float32"}.get(self._world.tensors[name][1], self._world.tensors[name][1].lower())
        )

    def _missing(self) -> set[str]:
        tensors = self._world.tensors
        return {name for name in tensors if tensors[name][0] == "INPUT"} - set(self._shapes)


def _complain(item: Any) -> None:
    """Log as the libraries do: some chatter, the reason, and what follows from it."""
    log: Callable[[Severity, str], None] = item._logger.log
    log(Severity.INFO, "Loaded engine size: 0 MiB")
    log(Severity.ERROR, item._world.reason)
    log(Severity.ERROR, LATER_ERROR)

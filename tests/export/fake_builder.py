"""A strict stand-in for the building side of `tensorrt`, one for each version, without names that it lacks.

The table was held against the bindings that NVIDIA publishes for 8.6.1, 10.3.0, 10.16.1 and 11.4.0 (the strings in
their tensorrt.so). The network is always that of one transposed convolution in FP16.
"""

from __future__ import annotations

import json
from typing import Any

ALL = """
trt: Builder OnnxParser ILogger NetworkDefinitionCreationFlag BuilderFlag MemoryPoolType ProfilingVerbosity
trt: DeviceType
trt: HardwareCompatibilityLevel LayerType IConvolutionLayer IDeconvolutionLayer LayerInformationFormat Runtime
trt: IBuilderConfig Refitter SerializationFlag DataType
ILogger: Severity
Severity: INTERNAL_ERROR ERROR
BuilderFlag: TF32 VERSION_COMPATIBLE GPU_FALLBACK
MemoryPoolType: WORKSPACE
ProfilingVerbosity: NONE LAYER_NAMES_ONLY DETAILED
HardwareCompatibilityLevel: NONE AMPERE_PLUS
DeviceType: GPU DLA
LayerType: CONVOLUTION DECONVOLUTION MATRIX_MULTIPLY DEQUANTIZE CONSTANT
LayerInformationFormat: JSON
IBuilderConfig: set_flag clear_flag set_memory_pool_limit builder_optimization_level profiling_verbosity
IBuilderConfig: hardware_compatibility_level create_timing_cache set_timing_cache get_timing_cache
IBuilderConfig: default_device_type
IBuilderConfig: DLA_core can_run_on_DLA add_optimization_profile
"""
BEFORE_11 = """
NetworkDefinitionCreationFlag: EXPLICIT_BATCH
BuilderFlag: FP16 INT8
"""
SINCE_10_3 = """
trt: IProgressMonitor OnnxParserRefitter
NetworkDefinitionCreationFlag: STRONGLY_TYPED
BuilderFlag: STRIP_PLAN REFIT_IDENTICAL
IBuilderConfig: progress_monitor
SerializationFlag: EXCLUDE_WEIGHTS
"""
SINCE_10_16 = """
HardwareCompatibilityLevel: SAME_COMPUTE_CAPABILITY
"""
TABLE = {
    "8.6.1": ALL + BEFORE_11,
    "10.3.0": ALL + BEFORE_11 + "BuilderFlag: BF16" + SINCE_10_3,
    "10.16.1": ALL + BEFORE_11 + "BuilderFlag: BF16" + SINCE_10_3 + SINCE_10_16,
    "11.4.1": ALL + SINCE_10_3 + SINCE_10_16,
}


def names(version: str) -> set[str]:
    """Return "Owner.name" for each name of a version."""
    lines = [line.split(":") for line in TABLE[version].splitlines() if line]
    return {f"{owner}.{name}" for owner, group in lines for name in group.split()}


class Member:
    """A member of an enum."""

    def __init__(self, name: str, value: int) -> None:
        self.name, self._value = name, value

    def __int__(self) -> int:
        return self._value


class Strict:
    """Has the names of the table, each an enum's member unless it is given; reading or setting another fails."""

    def __init__(self, version: str, owner: str, **given: Any) -> None:
        known = {name.partition(".")[2] for name in names(version) if name.startswith(f"{owner}.")}
        values = {name: given.get(name, Member(name, index)) for index, name in enumerate(sorted(known))}
        self.__dict__.update({**values, **{name: value for name, value in given.items() if name[0] == "_"}})
        self.__dict__["_names"], self.__dict__["_owner"] = known, f"tensorrt {version} {owner}"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.__dict__['_owner']} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names:
            raise AttributeError(f"{self._owner} has no {name}")
        self.__dict__[name] = value


class Tensor:
    def __init__(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        self.name, self.dtype, self.shape = name, Member(dtype, 0), shape


class Layer:
    """What the bindings call ILayer; its class is set to that of the layer's own kind."""

    def __init__(self, kind: Member) -> None:
        self.name, self.type = "up", kind
        self._input, self._output = Tensor("x", "HALF", (-1, 6, 1, 1)), Tensor("y", "HALF", (-1, 3, 4, 4))
        self.num_output_maps, self.num_groups, self.kernel_size_nd = 3, 1, (4, 4)

    def get_input(self, index: int) -> Tensor | None:
        return None if index else self._input

    def get_output(self, index: int) -> Tensor:
        assert index == 0
        return self._output


class Deconvolution(Layer):
    pass


class Network:
    def __init__(self, kind: Member) -> None:
        self._layers = [Layer(kind)]
        self.num_layers = self.num_inputs = self.num_outputs = 1

    def get_layer(self, index: int) -> Layer:
        return self._layers[index]

    def get_input(self, index: int) -> Tensor:
        return (Tensor("z", "FLOAT", (-1, 6)),)[index]

    def get_output(self, index: int) -> Tensor:
        return (Tensor("images", "UINT8", (-1, 4, 4, 3)),)[index]


class World:
    """What was asked of the builder, and what the engine shall be."""

    def __init__(self, version: str, engine_type: str = "Half", steps: int = 3) -> None:
        self.version, self.engine_type, self.steps = version, engine_type, steps
        self.flags: set[str] = set()
        self.network_flags = 0
        self.shapes: dict[str, tuple[Any, ...]] = {}
        self.limits: dict[str, int] = {}
        self.cache_in: bytes | None = None
        self.config: Any = None
        self.cancelled = False

    def module(self) -> Any:
        """Return the module."""
        version, world = self.version, self

        class ILogger:
            Severity = Strict(version, "Severity")

        class IProgressMonitor:
            pass

        class Parser:
            num_errors = 0

            def __init__(self, network: Network, logger: Any) -> None:
                pass

            def parse_from_file(self, path: str) -> bool:  # noqa: ARG002
                return True

        class Runtime:
            def __init__(self, logger: Any) -> None:
                pass

            def deserialize_cuda_engine(self, plan: bytes) -> Any:  # noqa: ARG002
                return Engine(world)

        given: dict[str, Any] = {
            "ILogger": ILogger,
            "IProgressMonitor": IProgressMonitor,
            "OnnxParser": Parser,
            "Runtime": Runtime,
            "Builder": lambda _: Builder(world, trt),
            "IConvolutionLayer": type("IConvolutionLayer", (Layer,), {}),
            "IDeconvolutionLayer": Deconvolution,
            "IBuilderConfig": Strict(version, "IBuilderConfig"),
        }
        enums = ["NetworkDefinitionCreationFlag", "BuilderFlag", "MemoryPoolType", "LayerType", "DeviceType"]
        enums += ["ProfilingVerbosity", "HardwareCompatibilityLevel", "LayerInformationFormat"]
        given |= {name: Strict(version, name) for name in enums}
        trt = Strict(version, "trt", **given)
        trt.__dict__["__version__"] = version
        return trt


class Builder:
    num_DLA_cores = 1  # noqa: N815

    def __init__(self, world: World, trt: Any) -> None:
        self._world, self._trt = world, trt

    def create_network(self, flags: int) -> Network:
        self._world.network_flags = flags
        return Network(self._trt.LayerType.DECONVOLUTION)

    def create_builder_config(self) -> Any:
        world = self._world

        def set_timing_cache(cache: bytes, ignore_mismatch: bool) -> bool:
            world.cache_in = cache
            assert not ignore_mismatch
            return cache != b"damaged"

        cache = type("Cache", (), {"serialize": lambda _: b"timings"})()
        world.config = Strict(
            world.version,
            "IBuilderConfig",
            set_flag=lambda flag: world.flags.add(flag.name),
            clear_flag=lambda flag: world.flags.discard(flag.name),
            set_memory_pool_limit=lambda pool, size: world.limits.update({pool.name: size}),
            create_timing_cache=bytes,
            set_timing_cache=set_timing_cache,
            get_timing_cache=lambda: cache,
            can_run_on_DLA=lambda _: False,
            add_optimization_profile=lambda _: 0,
        )
        return world.config

    def create_optimization_profile(self) -> Any:
        world = self._world

        class Profile:
            def set_shape(self, name: str, low: Any, best: Any, high: Any) -> None:
                world.shapes[name] = (low, best, high)

        return Profile()

    def build_serialized_network(self, _: Network, config: Any) -> bytes | None:
        watch = config.__dict__.get("progress_monitor")
        if watch is not None and not isinstance(watch, Member):
            watch.phase_start("Building", None, self._world.steps)
            for step in range(self._world.steps):
                if not watch.step_complete("Building", step):
                    self._world.cancelled = True
                    return None
            watch.phase_finish("Building")
        return b"plan"


class Engine:
    """An engine whose inspector names one fused layer."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create_engine_inspector(self) -> Engine:
        return self

    def get_engine_information(self, form: Member) -> str:
        assert form.name == "JSON"
        inputs = [{"Name": "x", "Format/Datatype": f"Row major linear {self._world.engine_type}"}]
        return json.dumps({"Layers": [{"Name": "up + relu", "Inputs": inputs}]})

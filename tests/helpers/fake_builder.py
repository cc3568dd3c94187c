"""A strict stand-in for the building side of `tensorrt`, one for each version, without names that it lacks.

The table was held against the bindings that NVIDIA publishes for 8.6.1, 10.3.0, 10.16.1 and 11.4.0 (the strings in
their tensorrt.so). The network has transposed convolutions only; what the engine made of them is the test's choice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ALL = """
trt: Builder OnnxParser ILogger NetworkDefinitionCreationFlag BuilderFlag MemoryPoolType ProfilingVerbosity
trt: DeviceType TensorIOMode
trt: HardwareCompatibilityLevel LayerType IConvolutionLayer IDeconvolutionLayer LayerInformationFormat Runtime
trt: IBuilderConfig Refitter DataType
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
DataType: FLOAT HALF INT8 UINT8 INT32
TensorIOMode: INPUT OUTPUT
ILayer: name type get_input get_output num_output_maps num_groups kernel_size_nd
Runtime: engine_host_code_allowed deserialize_cuda_engine
ICudaEngine: num_io_tensors get_tensor_name get_tensor_mode get_tensor_profile_shape
ICudaEngine: create_execution_context create_engine_inspector
IExecutionContext: set_input_shape
EngineInspector: execution_context get_engine_information
Refitter: refit_cuda_engine
"""
BEFORE_11 = """
NetworkDefinitionCreationFlag: EXPLICIT_BATCH
BuilderFlag: FP16 INT8 OBEY_PRECISION_CONSTRAINTS
ILayer: precision set_output_type
"""
SINCE_10_3 = """
trt: IProgressMonitor OnnxParserRefitter SerializationFlag
NetworkDefinitionCreationFlag: STRONGLY_TYPED
BuilderFlag: STRIP_PLAN REFIT_IDENTICAL
IBuilderConfig: progress_monitor
SerializationFlag: EXCLUDE_WEIGHTS
DataType: INT64
OnnxParserRefitter: refit_from_file
ICudaEngine: create_serialization_config serialize_with_config
ISerializationConfig: clear_flag
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
        if name == "__class__":  # the way of the bindings from ILayer to the layer's own class
            return
        if name not in self._names:
            raise AttributeError(f"{self._owner} has no {name}")
        self.__dict__[name] = value


class Tensor:
    def __init__(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        self.name, self.dtype, self.shape = name, Member(dtype, 0), shape


def _layer(version: str, kind: Member, name: str, reads: list[Tensor], writes: Tensor) -> Any:
    return Strict(
        version,
        "ILayer",
        name=name,
        type=kind,
        get_input=lambda index: reads[index] if index < len(reads) else None,
        get_output=[writes].__getitem__,
        set_output_type=lambda index, kind: [writes].__getitem__(index).__dict__.update(forced=kind.name),
        num_output_maps=3,
        num_groups=1,
        kernel_size_nd=(4, 4),
    )


def _layers(world: World, kinds: Any) -> Iterator[Any]:
    """Yield the transposed convolutions of a world, after the Dequantize layers that those in INT8 read."""
    for name, dtype in world.layers.items():
        integer = dtype == "INT8"
        floating = "HALF" if integer else dtype
        reads = [Tensor(f"{name}_x", floating, (-1, 6, 1, 1)), Tensor(f"{name}_w", floating, (6, 3, 4, 4))]
        for tensor in reads if integer else ():
            quantized = Tensor("quantized", "INT8", tensor.shape)
            yield _layer(world.version, kinds.DEQUANTIZE, f"dequantize {tensor.name}", [quantized], tensor)
        writes = Tensor(f"{name}_y", floating, (-1, 3, 4, 4))
        yield _layer(world.version, kinds.DECONVOLUTION, name, reads if integer else reads[:1], writes)


class Network:
    def __init__(self, world: World, trt: Any) -> None:
        self.layers = list(_layers(world, trt.LayerType))
        self._inputs = [Tensor("z", "FLOAT", (-1, 6))]
        if world.label:  # TensorRT 8 reads an int64 graph with int32
            integer = "INT64" if hasattr(trt.DataType, "INT64") else "INT32"
            self._inputs.append(Tensor("label", integer, (-1,)))
        self.num_layers, self.num_inputs, self.num_outputs = len(self.layers), len(self._inputs), 1

    def get_layer(self, index: int) -> Any:
        return self.layers[index]

    def get_input(self, index: int) -> Tensor:
        return self._inputs[index]

    def get_output(self, index: int) -> Tensor:
        return (Tensor("images", "UINT8", (-1, 4, 4, 3)),)[index]


class World:
    """What was asked of the builder, and what the engine shall be."""

    def __init__(
        self,
        version: str,
        layers: dict[str, str] | None = None,  # name -> type in the graph
        engine: list[tuple[str, str, str]] | None = None,  # LayerType, name, type in the engine
        label: bool = False,
        steps: int = 3,
    ) -> None:
        self.version, self.label, self.steps = version, label, steps
        self.layers = layers or {"up": "HALF"}
        self.engine = engine or [
            ("Deconvolution", f"{name} + relu", kind) for name, kind in self.layers.items()
        ]
        self.flags: set[str] = set()
        self.network_flags = 0
        self.shapes: dict[str, tuple[Any, ...]] = {}
        self.limits: dict[str, int] = {}
        self.config: Any = None
        self.network: Any = None
        self.runtime: Any = None
        self.refits = True
        self.serialization_flags = {"EXCLUDE_WEIGHTS"}
        self.cancelled = False

    def module(self) -> Any:
        """Return the module."""
        version, world = self.version, self
        trt: Any

        class ILogger:
            Severity = Strict(version, "Severity")

        class IProgressMonitor:
            pass

        class Parser:
            num_errors = 0

            def __init__(self, network: Network, logger: Any) -> None:
                pass

            def parse(self, data: bytes) -> bool:  # noqa: ARG002
                return True

        def runtime(logger: Any) -> Any:  # noqa: ARG001
            world.runtime = Strict(version, "Runtime", deserialize_cuda_engine=lambda _: _engine(world, trt))
            return world.runtime

        def refitter(engine: Any, logger: Any) -> Any:  # noqa: ARG001
            return Strict(version, "Refitter", refit_cuda_engine=lambda: True)

        def parser_refitter(refitter: Any, logger: Any) -> Any:  # noqa: ARG001
            return Strict(version, "OnnxParserRefitter", refit_from_file=lambda _: world.refits)

        enums = ["NetworkDefinitionCreationFlag", "BuilderFlag", "MemoryPoolType", "LayerType", "DeviceType"]
        enums += ["ProfilingVerbosity", "HardwareCompatibilityLevel", "LayerInformationFormat", "DataType"]
        enums += [
            "SerializationFlag",
            "TensorIOMode",
            "IBuilderConfig",
            "IConvolutionLayer",
            "IDeconvolutionLayer",
        ]
        given: dict[str, Any] = {name: Strict(version, name) for name in enums}
        given |= {
            "ILogger": ILogger,
            "IProgressMonitor": IProgressMonitor,
            "OnnxParser": Parser,
            "Runtime": runtime,
            "Refitter": refitter,
            "OnnxParserRefitter": parser_refitter,
            "Builder": lambda _: Builder(world, trt),
        }
        trt = Strict(version, "trt", **given)
        trt.__dict__["__version__"] = version
        return trt


class Cache:
    """A timing cache: of what it cannot read it is an empty one, as the library makes it."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob if blob.startswith(b"timings") else b"empty"

    def serialize(self) -> bytes:
        return self._blob


class Builder:
    num_DLA_cores = 1  # noqa: N815

    def __init__(self, world: World, trt: Any) -> None:
        self._world, self._trt = world, trt

    def create_network(self, flags: int) -> Network:
        self._world.network_flags = flags
        self._world.network = Network(self._world, self._trt)
        return self._world.network  # type: ignore[no-any-return]

    def create_builder_config(self) -> Any:
        world = self._world
        caches: list[Cache] = []

        def set_timing_cache(cache: Cache, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            caches[:] = [cache]
            return cache.serialize() != b"timings of another GPU"

        world.config = Strict(
            world.version,
            "IBuilderConfig",
            set_flag=lambda flag: world.flags.add(flag.name),
            clear_flag=lambda flag: world.flags.discard(flag.name),
            set_memory_pool_limit=lambda pool, size: world.limits.update({pool.name: size}),
            create_timing_cache=Cache,
            set_timing_cache=set_timing_cache,
            get_timing_cache=lambda: Cache(b"timings, " + caches[0].serialize()),
            can_run_on_DLA=lambda layer: layer.name != "up_2",
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


def _engine(world: World, trt: Any) -> Any:
    """Return an engine whose inspector tells no types before its context has shapes, as that of TensorRT."""
    inputs = list(world.shapes)
    shapes: dict[str, Any] = {}
    words = (
        {"HALF": "FP16", "FLOAT": "FP32"} if world.version == "8.6.1" else {"HALF": "Half", "FLOAT": "Float"}
    )

    def information(form: Member) -> str:
        assert form is trt.LayerInformationFormat.JSON
        assert world.config.profiling_verbosity.name == "DETAILED"
        ready = inspector.execution_context is context and shapes == {n: world.shapes[n][1] for n in inputs}
        entries = []
        for layer, name, kind in world.engine:
            word = words.get(kind, "Int8")
            text = f"Row major linear {word} format" if world.version == "8.6.1" else word
            tensor = {"Name": "x", "Format/Datatype": text if ready else "N/A due to dynamic shapes"}
            entries.append({"Name": name, "LayerType": layer, "Inputs": [tensor], "Outputs": []})
        return json.dumps({"Layers": entries, "Bindings": [*inputs, "images"]})

    context = Strict(world.version, "IExecutionContext", set_input_shape=shapes.__setitem__)
    inspector = Strict(world.version, "EngineInspector", get_engine_information=information)
    serialization = Strict(
        world.version,
        "ISerializationConfig",
        clear_flag=lambda flag: world.serialization_flags.discard(flag.name),
    )
    tensors, mode = [*inputs, "images"], trt.TensorIOMode
    return Strict(
        world.version,
        "ICudaEngine",
        num_io_tensors=len(tensors),
        get_tensor_name=tensors.__getitem__,
        get_tensor_mode=lambda name: mode.OUTPUT if name == "images" else mode.INPUT,
        get_tensor_profile_shape=lambda name, _: world.shapes[name],
        create_execution_context=lambda: context,
        create_engine_inspector=lambda: inspector,
        create_serialization_config=lambda: serialization,
        serialize_with_config=lambda _: b"without" if world.serialization_flags else b"with weights",
    )

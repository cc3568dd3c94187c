"""Build an engine from an ONNX graph with TensorRT or TensorRT-RTX. Needs no torch, since it runs on the device.

The network is strongly typed: the engine has the graph's types, and no layer is silently built in FP32. TensorRT
8.x has no strong typing, nor has DLA before TensorRT 11. There, the builder gets a flag for each type of the
graph, and gantool reads the types that it chose from the engine.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gantool.export.artifact import Graph
from gantool.export.engine import layer_report as receipt
from gantool.export.engine.layer_report import PrecisionReport, network_layers
from gantool.export.engine.options import (
    HARDWARE,
    VERBOSITY,
    BuildOptions,
    Library,
    check_options,
    compute_capabilities,
    refuse,
    strongly_typed,
)
from gantool.export.progress import monitor
from gantool.runtime.backends.tensorrt.cuda import driver_problem, import_driver
from gantool.runtime.backends.tensorrt.library import error_logger, import_library
from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.process.signals import stop_signals
from gantool.runtime.signature import Signature, Tensor

MODULES: dict[Library, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
SUFFIXES: dict[Library, str] = {"tensorrt": ".plan", "rtx": ".rtx.plan"}
_FLAGS = {"HALF": "FP16", "BF16": "BF16", "INT8": "INT8"}  # of a network that is not strongly typed


@dataclass(frozen=True)
class Built:
    """A plan's bytes and what the builder reported."""

    plan: bytes
    version: str  # of the library
    receipt: PrecisionReport
    batches: tuple[int, int, int]  # smallest, tuned for, largest
    tensors: tuple[Tensor, ...]
    not_on_dla: tuple[str, ...] = ()  # layers that fall back to the GPU


def choose_library(engine: str) -> Library | None:
    """Return the library that builds for `--engine engine`; None for none, or if auto finds no library.

    TensorRT builds for the GPU that it runs on, so auto chooses it only if a driver is present. Raises
    MissingDependencyError or EngineMismatchError if the requested library cannot build here.
    """
    if engine not in ("auto", "none", *MODULES):
        raise UsageError(f"`engine` {engine} is unknown: choose auto, tensorrt, rtx or none")
    if engine == "none":
        return None
    if engine == "auto":
        return next((library for library in MODULES if _can_build(library)), None)
    library: Library = "tensorrt" if engine == "tensorrt" else "rtx"
    import_library(library, "building the engine")
    if library == "tensorrt" and (
        problem := driver_problem(import_driver("tensorrt", "building the engine"))
    ):
        raise EngineMismatchError(
            f"TensorRT builds on the GPU that the engine is for, and {problem}: run this on the device, or build "
            "for an RTX GPU, with gantool export --engine rtx"
        )
    return library


def gpu_problem(library: Library) -> str | None:
    """Say why no engine can run here, or None if one can."""
    return driver_problem(import_driver(library, "running an engine"))


def _can_build(library: Library) -> bool:
    if importlib.util.find_spec(MODULES[library]) is None:
        return False
    if library == "rtx":
        return True
    try:
        return driver_problem(import_driver("tensorrt", "building the engine")) is None
    except MissingDependencyError:  # without the driver bindings the GPU cannot be detected
        return False


def build(graph: Graph, library: Library, options: BuildOptions, module: ModuleType | None = None) -> Built:
    """Build `graph` into a plan. `module` is the library's Python module; None imports it.

    Raises GantoolError, with the library's message, if it cannot build, VerificationError if a layer of the engine
    computes in a wider type than in the graph, and KeyboardInterrupt, after the current step, on a signal.
    """
    trt = module or import_library(library, "building the engine")
    check_options(library, options) if module is None else refuse(library, trt, options)
    logger = error_logger(trt)
    logger.errors.clear()
    builder = trt.Builder(logger)
    strong = strongly_typed(trt, options)
    network = builder.create_network(_network_flags(trt, strong))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.data[:]):
        reason = parser.get_error(0).desc() if parser.num_errors else _first(logger.errors)
        raise GantoolError(f"{MODULES[library]} {trt.__version__} cannot parse {graph.path}: {reason}")
    tensors = _tensors(network)
    signature = Signature.of_engine(graph.path, tensors)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # it would round FP32 values
    requested = receipt.of_network(trt, network)
    if not strong:
        _ask_for_types(trt, network, config, requested)
    _configure(trt, config, options)
    batches = _set_profile(builder, signature, config, options)
    not_on_dla: tuple[str, ...] = ()
    if options.dla is not None:
        if not requested.shares().keys() & {"HALF", "INT8"}:
            raise UsageError(
                f"`dla` {options.dla}: DLA computes in FP16 and INT8, and {graph.name} has neither"
            )
        not_on_dla = _use_dla(trt, builder, network, config, options.dla)
    plan = _run(trt, builder, network, config)
    if plan is None:
        raise GantoolError(_failure(f"{MODULES[library]} {trt.__version__}", graph, _first(logger.errors)))
    if options.timing_cache is not None:
        _save_timing_cache(config, options.timing_cache)
    actual = requested
    if not strong:
        runtime = trt.Runtime(logger)
        # safe: gantool just built the plan; a version-compatible one has host code
        runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise GantoolError(f"the engine of {graph.name} does not load: {_first(logger.errors)}")
        actual = receipt.of_engine(trt, engine, requested, not_on_dla if options.dla is not None else None)
    receipt.check(requested, actual, graph.recipe)
    return Built(bytes(plan), trt.__version__, actual, batches, tensors, not_on_dla)


def _first(errors: list[str]) -> str:
    return errors[0] if errors else "it gives no reason"


def _failure(builder: str, graph: Graph, reason: str) -> str:
    if "deconv" in reason and "bf16" in reason:
        return (
            f"{builder} has no BF16 form of the transposed convolutions of {graph.name} ({reason[:120]} ...): "
            "export with `lowering` subpixel, phases or phases-stack, or with `fp16`"
        )
    advice = (
        "a larger `workspace`, other `compute_capabilities`, `fp16`, or `engine` none for the graph alone"
    )
    return f"{builder} cannot build {graph.name}: {reason}; try {advice}"


def _network_flags(trt: ModuleType, strong: bool) -> int:
    flag = trt.NetworkDefinitionCreationFlag
    if strong:
        return 1 << int(flag.STRONGLY_TYPED)  # its value differs between TensorRT 10 and 11
    return 1 << int(flag.EXPLICIT_BATCH)


def _ask_for_types(trt: ModuleType, network: Any, config: Any, requested: PrecisionReport) -> None:
    """Allow a builder without strong typing the graph's types, and constrain the layers that must stay in FP32."""
    types = {layer.type for layer in requested.layers}
    for kind in types & set(_FLAGS):
        config.set_flag(getattr(trt.BuilderFlag, _FLAGS[kind]))
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
    if not types & {"HALF", "BF16"}:  # without their flags FP32 layers stay in FP32
        return
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for layer, entry in zip(network_layers(network), requested.layers, strict=True):
        computes = entry.multiply_adds or entry.kind in ("ACTIVATION", "ELEMENTWISE", "SCALE", "UNARY")
        if computes and (entry.type, layer.get_output(0).dtype.name) == ("FLOAT", "FLOAT"):
            layer.precision = trt.DataType.FLOAT
            layer.set_output_type(0, trt.DataType.FLOAT)


def _configure(trt: ModuleType, config: Any, options: BuildOptions) -> None:
    """Set the builder's options; `refuse` has checked that the library has them."""
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.builder_level is not None:
        config.builder_optimization_level = options.builder_level
    if options.profile_verbosity is not None:
        config.profiling_verbosity = getattr(trt.ProfilingVerbosity, VERBOSITY[options.profile_verbosity])
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible is not None:
        level = getattr(trt.HardwareCompatibilityLevel, HARDWARE[options.hardware_compatible])
        config.hardware_compatibility_level = level
    if options.strip_weights:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
    if options.timing_cache is not None:
        _use_timing_cache(config, options.timing_cache)
    names = options.compute_capabilities
    if names:
        known_names = compute_capabilities(trt)
        config.num_compute_capabilities = len(names)
        for index, name in enumerate(names):
            if not config.set_compute_capability(known_names[name], index):
                raise GantoolError(
                    f"TensorRT-RTX {trt.__version__} does not build for `compute_capabilities` {name}"
                )


def _use_timing_cache(config: Any, path: Path) -> None:
    """Read the timing cache. Raises GantoolError for any other file, since the build would overwrite it."""
    known = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(known)
    empty = bytes(config.create_timing_cache(b"").serialize())
    # from a file that it cannot read, the library makes an empty cache, with only a warning
    dropped = cache is None or (known not in (b"", empty) and bytes(cache.serialize()) == empty)
    if dropped or not config.set_timing_cache(cache, False):
        raise GantoolError(
            f"`timing_cache` {path} is not a timing cache, or is from another GPU or version of TensorRT: give "
            "another file, or remove it"
        )


def _save_timing_cache(config: Any, path: Path) -> None:
    with atomic(path) as part:
        part.write_bytes(bytes(config.get_timing_cache().serialize()))


def _use_dla(trt: ModuleType, builder: Any, network: Any, config: Any, core: int) -> tuple[str, ...]:
    """Place layers on a DLA core; return the names of the layers that fall back to the GPU."""
    if core >= builder.num_DLA_cores:
        raise UsageError(f"`dla` {core}: this device has {builder.num_DLA_cores} DLA cores, counted from 0")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return tuple(layer.name for layer in network_layers(network) if not config.can_run_on_DLA(layer))


def _run(trt: ModuleType, builder: Any, network: Any, config: Any) -> Any:
    """Build; if the library can, show progress and stop on a signal. Raises KeyboardInterrupt."""
    if not hasattr(trt, "IProgressMonitor"):
        return builder.build_serialized_network(network, config)
    with stop_signals() as stopping:
        watch = monitor(trt, stopping)
        config.progress_monitor = watch
        try:
            plan = builder.build_serialized_network(network, config)
        finally:
            watch.close()
        if stopping:
            raise KeyboardInterrupt
    return plan


def _tensors(network: Any) -> tuple[Tensor, ...]:
    inputs = [("INPUT", network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [("OUTPUT", network.get_output(index)) for index in range(network.num_outputs)]
    return tuple(
        Tensor.of_tensorrt(tensor.name, mode, tensor.dtype.name, tensor.shape)
        for mode, tensor in (*inputs, *outputs)
    )


def _set_profile(
    builder: Any, signature: Signature, config: Any, options: BuildOptions
) -> tuple[int, int, int]:
    """Add an optimization profile if the batch is dynamic; return the engine's smallest, optimal, largest batch."""
    if (batch := signature.batch) is not None:
        return batch, batch, batch
    profile = builder.create_optimization_profile()
    profile.set_shape("z", *((count, signature.latent) for count in options.batches))
    if signature.label is not None:
        columns = (signature.columns,) if signature.columns else ()
        profile.set_shape("label", *((count, *columns) for count in options.batches))
    if config.add_optimization_profile(profile) < 0:
        raise GantoolError(f"the builder does not take batches of {options.batches}")
    return options.batches

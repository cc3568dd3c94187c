"""Build an engine from an ONNX file with TensorRT or TensorRT-RTX; no torch, since this runs on the device.

The precision is what the graph says, and the network is strongly typed, so nothing is silently built in FP32.
TensorRT 8.x has no strong typing: there, a graph in FP16 gets the builder's FP16 flag.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from gantool.runtime.backends.cuda import driver_problem, import_driver
from gantool.runtime.backends.library import import_library, recorder
from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, UsageError

Flavour = Literal["tensorrt", "rtx"]
MODULES: dict[Flavour, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
SUFFIXES: dict[Flavour, str] = {"tensorrt": ".plan", "rtx": ".rtx.plan"}


@dataclass(frozen=True)
class BuildOptions:
    """How to build. Raises UsageError for batches that do not rise."""

    min_batch: int = 1
    opt_batch: int = 16  # what the engine is tuned for
    max_batch: int = 64
    workspace: int | None = None  # bytes; None leaves the choice to the library
    compute_capabilities: tuple[str, ...] = ()  # "86": RTX only; () for all that the library targets

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            raise UsageError(
                f"--min-batch {self.min_batch} --opt-batch {self.opt_batch} --max-batch {self.max_batch}: "
                "they must rise from at least 1"
            )


@dataclass(frozen=True)
class Built:
    """A plan's bytes and what is known of it."""

    plan: bytes
    version: str  # of the library
    layer_types: dict[str, int]  # layers of the network by the type they compute in, e.g. {"HALF": 12}
    compute_capabilities: tuple[str, ...]
    batches: tuple[int, int, int]  # smallest, tuned for, largest


def parse_size(text: str) -> int:
    """Read `2GiB` or `512MiB` into bytes; K, M, G alone mean KiB, MiB, GiB as in trtexec."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG])(?:iB)?", text)
    size = int(float(match[1]) * 1024 ** " KMG".index(match[2])) if match else 0
    if not 0 < size < 2**63:
        raise UsageError(f"--workspace {text!r}: write a size with its unit, as in 2GiB or 512MiB")
    return size


def parse_compute_capabilities(text: str) -> tuple[str, ...]:
    """Read `86,89` or `8.6,8.9` into ("86", "89")."""
    names = tuple(part.strip().lower().removeprefix("sm").replace(".", "") for part in text.split(","))
    if not all(name.isdecimal() for name in names):
        raise UsageError(f"--sm {text!r}: write compute capabilities, as in 86,89")
    return names


def choose_flavour(engine: str) -> Flavour | None:
    """Return which library builds for `--engine engine`; None if auto finds none here.

    tensorrt builds for the GPU that it runs on, so auto takes it only where a driver is. Raises
    MissingDependencyError or EngineMismatchError where the one asked for cannot build here.
    """
    if engine not in ("auto", "none", *MODULES):
        raise UsageError(f"--engine {engine} is unknown: choose auto, tensorrt, rtx or none")
    if engine == "none":
        return None
    if engine == "auto":
        return next((flavour for flavour in MODULES if _can_build(flavour)), None)
    flavour: Flavour = "tensorrt" if engine == "tensorrt" else "rtx"
    import_library(flavour, "building the engine")
    if flavour == "tensorrt" and (
        problem := driver_problem(import_driver("tensorrt", "building the engine"))
    ):
        raise EngineMismatchError(
            f"TensorRT builds on the GPU that the engine is for, and {problem}: export with --engine rtx or "
            "--engine none, or run this on the device"
        )
    return flavour


def check_options(flavour: Flavour | None, options: BuildOptions) -> None:
    """Raise UsageError for options that the library that will build does not have, before any work is done."""
    if flavour != "rtx" and options.compute_capabilities:
        raise UsageError("--sm is for TensorRT-RTX, which does not build here: leave it out, or --engine rtx")
    if flavour is None and options.workspace is not None:
        raise UsageError("--workspace is for building an engine, and none is built: leave it out")
    if options.compute_capabilities:
        trt = import_library("rtx", "building the engine")
        known = compute_capabilities(trt)
        if unknown := [name for name in options.compute_capabilities if name not in known]:
            raise UsageError(
                f"--sm {','.join(unknown)}: TensorRT-RTX {trt.__version__} builds for "
                f"{', '.join(sorted(known, key=int))}"
            )


def compute_capabilities(trt: ModuleType) -> dict[str, Any]:
    """Return the compute capabilities that TensorRT-RTX builds for, by names as "86"."""
    members = trt.ComputeCapability.__members__.items()
    return {name.removeprefix("SM"): value for name, value in members if name.startswith("SM")}


def _can_build(flavour: Flavour) -> bool:
    if importlib.util.find_spec(MODULES[flavour]) is None:
        return False
    if flavour == "rtx":
        return True
    try:
        return driver_problem(import_driver("tensorrt", "building the engine")) is None
    except MissingDependencyError:  # without it nothing tells whether there is a GPU to build for
        return False


def build(graph: Path, flavour: Flavour, options: BuildOptions) -> Built:
    """Build `graph` into a plan. Raises GantoolError, quoting the library, for what it does not take."""
    check_options(flavour, options)
    trt = import_library(flavour, "building the engine")
    logger = recorder(trt)
    logger.errors.clear()
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        reason = parser.get_error(0).desc() if parser.num_errors else _first(logger.errors)
        raise GantoolError(f"{MODULES[flavour]} {trt.__version__} cannot parse {graph}: {reason}")
    _check_generator(trt, network, graph)
    config = builder.create_builder_config()
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    config.clear_flag(trt.BuilderFlag.TF32)  # which would round what the graph calls FP32
    layer_types = Counter(tensor.dtype.name for tensor in _layer_outputs(network))
    if not _strongly_typed(trt) and layer_types["HALF"]:
        config.set_flag(trt.BuilderFlag.FP16)
    _set_compute_capabilities(trt, config, options.compute_capabilities)
    batches = _set_profile(builder, network, config, options)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise GantoolError(
            f"{MODULES[flavour]} {trt.__version__} cannot build {graph.name}: {_first(logger.errors)}; try "
            "a larger --workspace, other --sm, --fp16, or --engine none for the graph alone"
        )
    return Built(bytes(plan), trt.__version__, dict(layer_types), options.compute_capabilities, batches)


def _first(errors: list[str]) -> str:
    return errors[0] if errors else "it gives no reason"


def _strongly_typed(trt: ModuleType) -> bool:
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _network_flags(trt: ModuleType) -> int:
    flag = trt.NetworkDefinitionCreationFlag
    # the value of STRONGLY_TYPED differs between TensorRT 10 and 11
    return 1 << int(flag.STRONGLY_TYPED if _strongly_typed(trt) else flag.EXPLICIT_BATCH)


def _layer_outputs(network: Any) -> Iterator[Any]:
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        for output in range(layer.num_outputs):
            yield layer.get_output(output)


def _check_generator(trt: ModuleType, network: Any, graph: Path) -> None:
    """Raise GantoolError unless the network maps z to images."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    found = "; ".join(f"{t.name} {t.dtype.name} {tuple(t.shape)}" for t in (*inputs, *outputs))
    good = (
        [t.name for t in inputs] == ["z"]
        and [t.name for t in outputs] == ["images"]
        and inputs[0].dtype == trt.DataType.FLOAT
        and len(inputs[0].shape) == 2
        and outputs[0].dtype in (trt.DataType.UINT8, trt.DataType.FLOAT)
        and len(outputs[0].shape) == 4
    )
    if not good:
        raise GantoolError(
            f"{graph} is no generator of gantool: its inputs and outputs are {found}; expected z FLOAT "
            "(N, latent) and images UINT8 (N, H, W, C) or FLOAT (N, C, H, W)"
        )


def _set_compute_capabilities(trt: ModuleType, config: Any, names: tuple[str, ...]) -> None:
    if not names:
        return
    known = compute_capabilities(trt)
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        if not config.set_compute_capability(known[name], index):
            raise GantoolError(f"TensorRT-RTX {trt.__version__} does not build for --sm {name}")


def _set_profile(builder: Any, network: Any, config: Any, options: BuildOptions) -> tuple[int, int, int]:
    """Add the profile of a dynamic batch; return the batches that the engine takes."""
    batch, latent = network.get_input(0).shape
    if batch != -1:
        return batch, batch, batch
    batches = (options.min_batch, options.opt_batch, options.max_batch)
    profile = builder.create_optimization_profile()
    profile.set_shape("z", *((count, latent) for count in batches))
    if config.add_optimization_profile(profile) < 0:
        raise GantoolError(f"the builder does not take batches of {batches}")
    return batches

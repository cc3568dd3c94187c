"""The options for building an engine. Options that a library lacks are refused before any work, never ignored."""

# No `from __future__ import annotations`: Python would compile the flags' annotations at every start.

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, check, one_of

Library = Literal["tensorrt", "rtx"]
HARDWARE = {"ampere+": "AMPERE_PLUS", "same": "SAME_COMPUTE_CAPABILITY"}
VERBOSITY = {"none": "NONE", "layer": "LAYER_NAMES_ONLY", "detailed": "DETAILED"}
DLA_CORES = (0, 1)


def parse_size(text: str) -> int:
    """Return the bytes of `2GiB` or `512MiB`; K, M, G without iB mean KiB, MiB, GiB as in trtexec."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?) *([KMG])(?:iB)?", text, re.ASCII)
    size = int(float(match[1]) * 1024 ** " KMG".index(match[2])) if match else 0
    if not 0 < size < 2**63:
        raise UsageError(f"`workspace` {text!r}: write a size with its unit, as in 2GiB or 512MiB")
    return size


def parse_compute_capabilities(text: str) -> tuple[str, ...]:
    """Return ("86", "89") for `86,89` or `8.6,8.9`."""
    names = tuple(part.strip().lower().removeprefix("sm").replace(".", "") for part in text.split(","))
    if not all(name.isascii() and name.isdecimal() for name in names):
        raise UsageError(f"`compute_capabilities` {text!r}: write compute capabilities, as in 86,89")
    return names


@dataclass(frozen=True)
class BuildOptions:
    """The options of the builder. Raises UsageError for values that no library accepts."""

    min_batch: Annotated[int, Flag("smallest batch of the engine", group="Engine")] = 1
    # None: 16, limited to [min_batch, max_batch]
    opt_batch: Annotated[
        int | None,
        Flag("batch that the builder optimizes for", group="Engine", shown="16, or --max-batch if smaller"),
    ] = None
    max_batch: Annotated[int, Flag("largest batch of the engine", group="Engine")] = 64
    workspace: Annotated[  # bytes
        int | None,
        Flag(
            "memory for the builder, as in 2GiB",
            group="Engine",
            metavar="SIZE",
            shown="the library's choice",
            parse=parse_size,
        ),
    ] = None
    compute_capabilities: Annotated[  # as "86"
        tuple[str, ...],
        Flag(
            "compute capabilities that TensorRT-RTX builds for, as in 86,89",
            "--sm",
            group="Engine",
            metavar="LIST",
            shown="all",
            parse=parse_compute_capabilities,
        ),
    ] = ()
    builder_level: Annotated[
        int | None,
        Flag(
            "optimization level: 0 builds fastest, 5 makes the fastest engine",
            group="Engine",
            shown="the library's, 3",
            check=one_of(range(6)),
        ),
    ] = None
    timing_cache: Annotated[
        Path | None,
        Flag("timing cache to read and write: later builds are faster", group="Engine"),
    ] = None
    version_compatible: Annotated[
        bool, Flag("build an engine that newer TensorRT versions can load", group="Engine")
    ] = False
    hardware_compatible: Annotated[
        Literal["ampere+", "same"] | None,
        Flag(
            "build an engine for other GPUs too: {choices} (same compute capability)",
            group="Engine",
        ),
    ] = None
    strip_weights: Annotated[
        bool,
        Flag("build a plan without weights; gantool refit adds them on the device", group="Engine"),
    ] = False
    dla: Annotated[
        int | None,
        Flag(
            "build for this DLA core of a Jetson, 0 or 1; the batch is --max-batch",
            group="Engine",
            metavar="CORE",
            check=one_of(DLA_CORES),
        ),
    ] = None
    profile_verbosity: Annotated[
        Literal["none", "layer", "detailed"] | None,
        Flag("detail of the layers that profilers see", group="Engine", shown="layer"),
    ] = None

    def __post_init__(self) -> None:
        check(self)
        low, best, high = self.batches
        if not 1 <= low <= best <= high:
            raise UsageError(
                f"`min_batch` {low} `opt_batch` {best} `max_batch` {high}: they must rise from at least 1"
            )
        if self.dla is not None and (self.min_batch, self.opt_batch) != (1, None):
            raise UsageError(
                "`dla` takes batches of one size, `max_batch`: leave out `min_batch` and `opt_batch`"
            )

    @property
    def batches(self) -> tuple[int, int, int]:
        """The smallest, optimal and largest batch. With DLA all are `max_batch`, since it takes one size only."""
        if self.dla is not None:
            return self.max_batch, self.max_batch, self.max_batch
        best = max(min(16, self.max_batch), self.min_batch) if self.opt_batch is None else self.opt_batch
        return self.min_batch, best, self.max_batch


def check_options(library: Library | None, options: BuildOptions) -> None:
    """Raise UsageError, before any work is done, for options that the building library lacks."""
    options_set = [f"`{name}`" for name, value in _options_set(options).items() if value]
    if library is None:
        if options_set:
            raise UsageError(
                f"{', '.join(options_set)}: only for building an engine, and none is built; leave it out"
            )
        return
    if library == "tensorrt" and options.compute_capabilities:
        raise UsageError(
            "`compute_capabilities` is for TensorRT-RTX, which does not build here: leave it out, or `engine` rtx"
        )
    if options_set:
        from gantool.runtime.backends.tensorrt.library import import_library

        refuse(library, import_library(library, "building the engine"), options)


def _options_set(options: BuildOptions) -> dict[str, bool]:
    return {
        "compute_capabilities": bool(options.compute_capabilities),
        "workspace": options.workspace is not None,
        "builder_level": options.builder_level is not None,
        "timing_cache": options.timing_cache is not None,
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible is not None,
        "strip_weights": options.strip_weights,
        "dla": options.dla is not None,
        "profile_verbosity": options.profile_verbosity is not None,
    }


def refuse(library: Library, trt: ModuleType, options: BuildOptions) -> None:
    """Raise UsageError, with the reason, for an option that this version of the library lacks."""
    from gantool.runtime.artifacts.plan import NAMES
    from gantool.runtime.backends.tensorrt.cuda import driver_problem, import_driver

    options_set = _options_set(options)
    name = f"{NAMES[library]} {trt.__version__}"
    if library == "rtx":
        for option, reason in _NOT_RTX.items():
            if options_set[option]:
                raise UsageError(f"`{option}`: {name} {reason}; leave it out")
        if options.strip_weights and (problem := driver_problem(import_driver("rtx", "building the engine"))):
            raise UsageError(f"`strip_weights`: {name} builds such plans only with a GPU, and {problem}")
        known = compute_capabilities(trt)
        if unknown := [one for one in options.compute_capabilities if one not in known]:
            raise UsageError(
                f"`compute_capabilities` {','.join(unknown)}: {name} builds for {', '.join(sorted(known, key=int))}"
            )
    for option, names, since in (
        ("builder_level", (trt.IBuilderConfig, "builder_optimization_level"), "8.6"),
        ("version_compatible", (trt.BuilderFlag, "VERSION_COMPATIBLE"), "8.6"),
        ("strip_weights", (trt.BuilderFlag, "STRIP_PLAN"), "10.0"),
        ("hardware_compatible", (trt, "HardwareCompatibilityLevel"), "8.6"),
    ):
        if options_set[option] and not hasattr(*names):
            raise UsageError(
                f"`{option}` needs TensorRT {since} or newer, here is {trt.__version__}: leave it out"
            )
    if options.hardware_compatible:
        level = HARDWARE[options.hardware_compatible]
        if not hasattr(trt.HardwareCompatibilityLevel, level):
            raise UsageError(
                f"`hardware_compatible` {options.hardware_compatible} needs TensorRT 10.13.3 or newer, here is "
                f"{trt.__version__}: use ampere+, or leave it out"
            )
    if options.dla is not None and not _has_dla(trt.__version__):
        raise UsageError(
            f"`dla`: TensorRT {trt.__version__} has no DLA, which 8.x to 10.7 have, and 11.4.1 on: leave it out"
        )
    if options.profile_verbosity in ("none", "layer") and not strongly_typed(trt, options):
        raise UsageError(
            f"`profile_verbosity` {options.profile_verbosity}: gantool reads the types that {name} chose"
            f"{' with DLA' if options.dla is not None else ''} from the engine, which needs detailed; leave it out"
        )


def strongly_typed(trt: ModuleType, options: BuildOptions) -> bool:
    """Return whether the engine gets exactly the graph's types; in TensorRT 8.x, and DLA before 11, it does not."""
    chooses = options.dla is not None and hasattr(trt.BuilderFlag, "FP16")
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") and not chooses


# Measured with TensorRT-RTX 1.7.1: options that it accepts and ignores, and options that it lacks.
_NOT_RTX = {
    "builder_level": "builds the same plan at every level",
    "version_compatible": "lacks the lean runtime that goes into such a plan",
    "timing_cache": "takes a timing cache and does not use it",
    "hardware_compatible": "builds for the compute capabilities of `compute_capabilities` instead",
    "dla": "has no DLA",
}


def _has_dla(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
    return (8,) <= numbers < (10, 8) or numbers >= (11, 4, 1)


def compute_capabilities(trt: ModuleType) -> dict[str, Any]:
    """Return the compute capabilities that TensorRT-RTX builds for, by name: "86"."""
    members = trt.ComputeCapability.__members__.items()
    return {name.removeprefix("SM"): value for name, value in members if name.startswith("SM")}

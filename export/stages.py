"""The stages of an export: make the FP32 graph, reduce its precision, and verify each graph.

Every stage returns a `Verified` and writes no file. Each graph is opened in two sessions of ONNX Runtime: one that
runs it as a user does, and one that simulates a device that computes in the graph's types.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

import onnx
import onnx_ir as ir

from gantool.export.artifact import GRAPH_SUFFIXES, Graph
from gantool.export.frechet import distances
from gantool.export.graph.from_onnx import import_onnx
from gantool.export.graph.from_torch import finish
from gantool.export.graph.probe import CHECKED
from gantool.export.graph.soft_labels import soften
from gantool.export.graph_checks import check_graph, check_share, inlined
from gantool.export.options import (
    BF16_OPSET,
    DEFAULT_OPSET,
    DatasetDistance,
    ExportOptions,
    Lowering,
    Output,
    Precision,
)
from gantool.export.precision.cast import is_reduced
from gantool.export.precision.parity import (
    BATCH,
    CALIBRATION_SEEDS,
    SEEDS,
    Reference,
    Report,
    feeds_of,
    measure,
    with_worse_parity,
)
from gantool.export.precision.psnr import MIN_PSNR, ParityRecord
from gantool.export.precision.quantize import quantizable_nodes
from gantool.export.precision.sensitivity import (
    Reduced,
    apply_and_measure,
    calibrate,
    match_patterns,
    search_precision,
)
from gantool.export.precision.simulate import Arrays, Simulation
from gantool.export.precision.trained import trained_limits, write_limits
from gantool.export.tune_lowering import Timer, autotune
from gantool.runtime.artifacts.onnx import PARITY_KEY
from gantool.runtime.artifacts.recipe import Recipe, read_recipe
from gantool.runtime.errors import GantoolError, UsageError, VerificationError
from gantool.runtime.generator import Generator
from gantool.runtime.metadata import Metadata
from gantool.runtime.outputs.images import to_levels
from gantool.runtime.process.terminal import short
from gantool.runtime.spec import Images

_log = logging.getLogger(__name__)

CALIBRATION_BATCHES = 4  # of 16 seeds


@dataclass(frozen=True)
class Verified:
    """A graph that passed its gate, and the sessions that ran it."""

    graph: Graph
    model: onnx.ModelProto
    reference: Reference
    simulation: Simulation
    generator: Generator | None  # None if ONNX Runtime has no kernels for it (BF16)

    def as_user(self) -> Generator:
        """Return the generator of a graph that is not in BF16."""
        assert self.generator is not None
        return self.generator


def from_torch(
    source: Path | None, target: Path, options: ExportOptions, timer: Timer | None = None
) -> Verified:
    """Make the FP32 graph of a checkpoint (None: of the newest run), or of a PyTorch generator from elsewhere.

    target: the path of the graph, which is not written yet; timer: measures for --lowering auto, else None.
    Raises VerificationError if its images differ from those of the generator.
    """
    from gantool.export.graph.from_torch import float_graph
    from gantool.export.graph.sources import load_source

    loaded = load_source(source, options.foreign, options.slice)
    output, metadata = _output(loaded.metadata, options)
    reference = _reference(metadata, to_levels(loaded.images(SEEDS), metadata.bits), options)
    opset = options.opset or _oldest_opset(options.precision)
    model = float_graph(loaded, opset, options.opset is not None)
    write_limits(model, metadata)
    if options.soft_labels:
        soften(model, metadata.classes)
    made = _Float(ir.to_proto(model), metadata, output, target, "PyTorch")
    return _finished(made, options, reference, timer)


def from_onnx(source: Path, target: Path, options: ExportOptions, timer: Timer | None = None) -> Verified:
    """Convert a graph from elsewhere to gantool's graph contract.

    Raises GantoolError if it is not a generator, and VerificationError if the images change.
    """
    model, metadata, original = import_onnx(source, options.foreign, _oldest_opset(options.precision))
    output, metadata = _output(metadata, options)
    images = to_levels(original.images(_feeds(metadata, SEEDS)), metadata.bits)
    reference = _reference(metadata, images, options)
    height, width, channels = metadata.image
    size = f"{height}×{width}×{channels}, latent {metadata.latent} {metadata.distribution}"
    for line in original.notes:
        _log.info(f"{source}: {line}")
    _log.info(f"{source}: {size}; {CHECKED}")
    if options.soft_labels:
        soften(model, metadata.classes)
    lowest = MIN_PSNR["fp16"] if original.reduced else None
    made = _Float(ir.to_proto(model), metadata, output, target, source.name, lowest)
    return _finished(made, options, reference, timer)


def from_graph(graph: Graph) -> Verified:
    """Open an FP32 graph of gantool; it is its own reference."""
    generator = graph.generator()
    spec = generator.spec
    images = generator.images(SEEDS, label=None if spec.classes is not None else 0)
    feeds, calibration = (
        feeds_of(seeds, spec.latent, spec.distribution, spec.classes, spec.soft_labels)
        for seeds in (SEEDS, CALIBRATION_SEEDS)
    )
    model = inlined(graph)
    simulation = Simulation(model)
    reference = Reference(feeds, images, calibration)
    reference = replace(reference, infinite=measure(simulation, reference).infinite)
    return Verified(graph, model, reference, simulation, generator)


def reduce_precision(full: Verified, precision: Precision, base: Path) -> Verified:
    """Return an FP32 graph in a lower precision, named BASE.fp16.onnx, BASE.bf16.onnx or BASE.int8.onnx.

    Raises VerificationError if no useful part of it can be in that precision and pass the gate.
    """
    reduced = _reduced(full, precision)
    for node, reason in reduced.recipe.keep_fp32.items():
        _log.info(f"{short(node)} stays in FP32: {reason}")
    if reduced.recipe.low and not (precision.recipe or precision.keep_fp32):
        check_share(reduced.graph, reduced.recipe.low)
    target = base.with_name(base.name + GRAPH_SUFFIXES[reduced.recipe.precision])
    made = check_graph(reduced.graph, target)
    gate = Gate("FP32", "Nothing was written", precision.min_psnr)
    candidate = _Candidate(made, reduced.graph, reduced.simulation, reduced.report)
    return _verified(candidate, full.reference, gate)


def with_distances(made: Verified, full: Verified, to_data: DatasetDistance) -> Verified:
    """Measure and record the Fréchet distance of a graph and of the FP32 graph `full` to a data set."""
    found = distances(full.as_user(), None if made is full else made.simulation, to_data)
    _log.info(f"{made.graph.name}: {found}")
    return replace(made, graph=_recorded(made.graph, made.model, found.added_to(made.graph.parity)))


@dataclass(frozen=True)
class _Float:
    """A float graph under the contract, before lowering."""

    proto: onnx.ModelProto
    metadata: Metadata
    output: Output
    target: Path
    reference: str  # name of the reference, for messages
    min_psnr: float | None = None  # dB; set if the original is in a lower precision itself


class _Candidate(NamedTuple):
    """A graph that was measured, before the gate."""

    graph: Graph
    model: onnx.ModelProto
    simulation: Simulation
    report: Report


@dataclass(frozen=True)
class Gate:
    """The limit that a graph must reach, and the texts of the messages."""

    reference: str  # name of the reference
    advice: str  # if the graph fails
    min_psnr: float | None  # dB; None: MIN_PSNR of the precision


def _reference(metadata: Metadata, images: Images, options: ExportOptions) -> Reference:
    feeds, calibration = (
        _feeds(metadata, seeds, options.soft_labels) for seeds in (SEEDS, CALIBRATION_SEEDS)
    )
    return Reference(feeds, images, calibration)


def _output(metadata: Metadata, options: ExportOptions) -> tuple[Output, Metadata]:
    """Return the type of a graph's images, and its metadata, with bits and texts of the author.

    Raises UsageError for colour images of 16 bits, and for soft labels without classes.
    """
    if options.soft_labels and not metadata.classes:
        raise UsageError(
            "`soft_labels` is for conditional generators, and this one has no classes: leave it out"
        )
    output: Output = options.output or ("uint16" if metadata.bits == 16 else "uint8")
    if output == "uint16" and metadata.image[2] != 1:
        raise UsageError(f"`output` uint16 is for grey images: these have {metadata.image[2]} channels")
    bits = {"uint8": 8, "uint16": 16, "float": metadata.bits}[output]
    return output, metadata.with_bits(bits).with_authorship(options.authorship)


def _feeds(metadata: Metadata, seeds: Sequence[int], soft: bool = False) -> Arrays:
    return feeds_of(seeds, metadata.latent, metadata.distribution or "normal", metadata.classes, soft)


def _oldest_opset(precision: Precision) -> int:
    low = precision.low if precision.recipe is None else read_recipe(precision.recipe).low
    return BF16_OPSET if low == "bf16" else DEFAULT_OPSET


def _finished(made: _Float, options: ExportOptions, reference: Reference, timer: Timer | None) -> Verified:
    """Lower a float graph, append its tail and metadata, and verify it."""

    def make(lowering: Lowering) -> onnx.ModelProto:
        return finish(ir.from_proto(made.proto), made.metadata, lowering, made.output)

    lowering = autotune(make, timer) if timer else cast("Lowering", options.lowering or "none")
    model = make(lowering)
    graph = check_graph(model, made.target)
    simulation = Simulation(model)
    report = measure(simulation, reference)
    advice = "Nothing was written. This is a bug in gantool: report it with the generator"
    gate = Gate(made.reference, advice, made.min_psnr)
    verified = _verified(_Candidate(graph, model, simulation, report), reference, gate)
    return replace(verified, reference=replace(reference, infinite=report.infinite))


def _reduced(full: Verified, precision: Precision) -> Reduced:
    """Apply the given recipe, or search for one that passes the gate with few exceptions."""
    source, reference = full.graph, full.reference
    if is_reduced(full.model):
        raise GantoolError(
            f"{source.path} is not in FP32: leave out the precision flags, or give the FP32 graph"
        )
    recipe = read_recipe(precision.recipe) if precision.recipe is not None else None
    low = precision.low if recipe is None else recipe.low
    opset = next((entry.version for entry in full.model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if low == "bf16" and opset < BF16_OPSET:
        raise GantoolError(
            f"{source.name} has opset {opset}, whose convolutions do not take bfloat16: export it with `opset` "
            f"{BF16_OPSET} or newer, or use `fp16`"
        )
    if recipe is not None:
        return apply_and_measure(full.model, recipe, reference)
    kept, quantized = match_patterns(full.model, precision.keep_fp32), {}
    if precision.int8:
        quantized = _int8_limits(full, precision, kept)
    values = full.simulation.activations(reference.feeds, 1, BATCH)[0]
    start = Recipe(precision.low, kept, quantized)
    return search_precision(full.model, values, start, reference, precision.min_psnr)


def _int8_limits(full: Verified, precision: Precision, kept: dict[str, str]) -> dict[str, float]:
    """Return the layers to quantize, each with the range of its data: as it was trained, else calibrated."""
    layers = quantizable_nodes(ir.from_proto(full.model))
    if trained := trained_limits(full.graph, layers):
        _log.info(f"{full.graph.name} was trained in INT8: its {len(trained)} layers keep their ranges")
        return {name: limit for name, limit in trained.items() if name not in kept}
    batches = full.simulation.activations(full.reference.calibration, CALIBRATION_BATCHES, BATCH)
    return calibrate(full.model, batches, precision.calibration, precision.int8_ends, kept)


def _verified(candidate: _Candidate, reference: Reference, gate: Gate) -> Verified:
    """Return the graph, with its parity recorded. Raises VerificationError if it does not pass the gate."""
    graph, model, simulation, report = candidate
    generator = graph.generator_on_cpu()
    if generator is not None:
        report = with_worse_parity(report, reference, generator.images(SEEDS))
    if problem := report.problem(graph.recipe.precision, gate.min_psnr):
        raise VerificationError(f"{graph.name} does not agree with its reference: {problem}. {gate.advice}")
    _log.info(f"{graph.name} against {gate.reference} on {len(SEEDS)} seeds: {report}")
    graph = _recorded(graph, model, report.record())
    return Verified(graph, model, reference, simulation, generator)


def _recorded(graph: Graph, model: onnx.ModelProto, parity: ParityRecord) -> Graph:
    """Return a graph with `parity` in its metadata, instead of any earlier record."""
    for entry in [entry for entry in model.metadata_props if entry.key == PARITY_KEY]:
        model.metadata_props.remove(entry)
    model.metadata_props.add(key=PARITY_KEY, value=json.dumps(parity.to_json()))
    return replace(graph, data=bytes(model.SerializeToString()), parity=parity)

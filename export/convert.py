"""Make the ONNX graphs, in FP32 and in a lower precision, and prove each against the one before it. No TensorRT."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import onnx
import onnx.inliner
import onnx_ir as ir

from gantool.export.frechet import distances, text
from gantool.export.graph.external import read_model, write_model
from gantool.export.graph.from_onnx import adopt
from gantool.export.graph.from_torch import finish
from gantool.export.graph.macs import by_type, layers_of, shapes_of
from gantool.export.graph.probe import CHECKED
from gantool.export.options import BF16_OPSET, DEFAULT_OPSET, ExportOptions, Lowering, Precision, ToData
from gantool.export.precision import sensitivity as mixed
from gantool.export.precision.cast import is_low
from gantool.export.precision.parity import CALIBRATION_SEEDS, SEEDS, Reference, check, feeds_of, measure
from gantool.export.precision.psnr import MIN_PSNR, PARITY_KEY
from gantool.export.precision.simulate import Arrays
from gantool.export.tune_lowering import Runner, fastest
from gantool.runtime import GantoolError, Generator, VerificationError
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.recipe import Recipe, read_recipe, recipe_of
from gantool.runtime.backends.session import LEVELS
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.terminal import listed, short

Note = Callable[[str], None]
MAX_FP32 = 0.75  # of the multiply-adds, in a graph that was asked for in another type


def graph_of_torch(
    source: Path | None, target: Path, options: ExportOptions, note: Note, runner: Runner | None = None
) -> Reference:
    """Write the FP32 graph of a checkpoint (None: of the newest run), or of a generator from elsewhere.

    `runner` is what --lowering auto measures with.
    Returns the generator's own images. Raises VerificationError if the graph's are others.
    """
    from gantool.export.graph.from_torch import float_graph
    from gantool.export.graph.sources import load_source

    loaded = load_source(source, options.foreign, note)
    images = to_uint8(loaded.images(SEEDS))
    metadata = loaded.metadata
    reference = Reference(_feeds(metadata, SEEDS), images, _feeds(metadata, CALIBRATION_SEEDS))
    opset = options.opset or _oldest_opset(options.precision)
    model = float_graph(loaded, opset, options.opset is not None, note)
    return _write_full(model, loaded.metadata, target, options, reference, "PyTorch", note, runner)


def graph_of_onnx(
    source: Path, target: Path, options: ExportOptions, note: Note, runner: Runner | None = None
) -> Reference:
    """Write a float graph that was made elsewhere under gantool's contract; return its own images.

    `runner` is what --lowering auto measures with.
    Raises GantoolError if it is no generator, and VerificationError if the written graph's images are others.
    """
    model, metadata, original = adopt(source, options.foreign, _oldest_opset(options.precision))
    latent = metadata["latent"]
    feeds = _feeds(metadata, SEEDS)
    images = to_uint8(original.images(feeds))
    reference = Reference(feeds, images, _feeds(metadata, CALIBRATION_SEEDS))
    height, width, channels = metadata["image"]
    size = f"{height}×{width}×{channels}, latent {latent['size']} {latent['distribution']}"
    for line in original.notes:
        note(f"{source}: {line}")
    note(f"{source}: {size}; {CHECKED}")
    min_psnr = MIN_PSNR["fp16"] if original.coarse else None
    return _write_full(model, metadata, target, options, reference, source.name, note, runner, min_psnr)


def _oldest_opset(precision: Precision) -> int:
    low = precision.low if precision.recipe is None else read_recipe(precision.recipe).low
    return BF16_OPSET if low == "bf16" else DEFAULT_OPSET


def reference_of_graph(source: Path) -> Reference:
    """Return the images that an FP32 graph of gantool makes of the seeds of parity."""
    with Generator.load(source, provider="cpu") as generator:
        spec = generator.spec
        images = generator.images(SEEDS, label=None if spec.classes is not None else 0)
        feeds, calibration = (
            feeds_of(seeds, spec.latent, spec.distribution, spec.classes)
            for seeds in (SEEDS, CALIBRATION_SEEDS)
        )
        reference = Reference(feeds, images, calibration)
    return replace(reference, infinite=measure(read_model(source), reference).infinite)


def _feeds(metadata: dict[str, Any], seeds: Sequence[int]) -> Arrays:
    latent = metadata["latent"]
    return feeds_of(seeds, latent["size"], latent["distribution"], metadata["classes"])


def low_graph(
    source: Path, precision: Precision, reference: Reference, note: Note
) -> tuple[onnx.ModelProto, str]:
    """Return the FP32 graph `source` in a lower precision, and which: fp16, bf16 or int8.

    Raises VerificationError if it does not pass the gate with all the exceptions that help.
    """
    full = _plain(source)
    if is_low(full):
        raise GantoolError(
            f"{source} is not in FP32: leave out the flags of precision, or give the FP32 graph"
        )
    given = read_recipe(precision.recipe) if precision.recipe is not None else None
    low = precision.low if given is None else given.low
    opset = next((entry.version for entry in full.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if low == "bf16" and opset < BF16_OPSET:
        raise GantoolError(
            f"{source.name} has opset {opset}, whose convolutions take no bfloat16: export it with --opset "
            f"{BF16_OPSET} or newer, or take --fp16"
        )
    if given is not None:
        recipe = given
        graph = mixed.apply(full, recipe)
    else:
        kept, quantized = mixed.matching(full, precision.keep_fp32), {}
        if precision.int8:
            quantized = mixed.calibrated(
                full, reference.calibration, precision.calibration, precision.int8_ends, kept
            )
        start = Recipe(precision.low, kept, quantized)
        graph, recipe = mixed.search(full, start, reference, precision.min_psnr, note)
    for node, reason in recipe.keep_fp32.items():
        note(f"{short(node)} stays in FP32: {reason}")
    if recipe.low and not (given or precision.keep_fp32):
        _check_share(graph, recipe.low)
    return graph, recipe.precision


def _plain(source: Path) -> onnx.ModelProto:
    """Return a graph with its local functions inlined. Raises GantoolError if weights of it are sparse."""
    full = read_model(source)
    if full.graph.sparse_initializer:
        names = listed((weight.values.name for weight in full.graph.sparse_initializer), 3)
        raise GantoolError(
            f"{source} has sparse weights ({names}), which gantool does not read: export it with dense weights"
        )
    return onnx.inliner.inline_local_functions(full) if full.functions else full


def _check_share(graph: onnx.ModelProto, low: str) -> None:
    """Raise VerificationError if most of the multiply-adds stay in FP32, which no one asked for."""
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    share = by_type(layers_of(inferred, shapes_of(inferred))).get("FLOAT", 0)
    if share > MAX_FP32:
        raise VerificationError(
            f"{share:.1%} of the multiply-adds would stay in FP32, so this is hardly {low.upper()}: try --bf16, "
            "which holds large numbers, or name the nodes that are to stay with --keep-fp32. Nothing was written"
        )


def prove(
    graph: onnx.ModelProto,
    target: Path,
    precision: str,
    min_psnr: float | None,
    reference: Reference,
    note: Note,
) -> None:
    """Write a graph to `target`. Raises VerificationError unless it passes the gate of its precision."""
    _write(graph, target, note)
    report = check(target, reference, precision, min_psnr, "Nothing was written")
    note(f"{target.name} against FP32 on {len(SEEDS)} seeds: {report}")
    record(graph, target, report.to_json())


def record(graph: onnx.ModelProto, target: Path, parity: dict[str, Any]) -> None:
    """Write a graph with what was measured of it in its metadata, in place of what was there."""
    for entry in [entry for entry in graph.metadata_props if entry.key == PARITY_KEY]:
        graph.metadata_props.remove(entry)
    graph.metadata_props.add(key=PARITY_KEY, value=json.dumps(parity))
    write_model(graph, target)


def add_distances(full: Path, target: Path, to_data: ToData, note: Note) -> None:
    """Measure how far from a data set the FP32 graph `full` and `target` are (the same: one), and record it."""
    graph = read_model(target)
    found = distances(full, None if target == full else graph, to_data)
    note(f"{target.name}: {text(found)}")
    record(graph, target, {**read_metadata(target, PARITY_KEY), "frechet": found})


def _write_full(
    model: ir.Model,
    metadata: dict[str, Any],
    target: Path,
    options: ExportOptions,
    reference: Reference,
    other: str,
    note: Note,
    runner: Runner | None,
    min_psnr: float | None = None,
) -> Reference:
    proto = ir.to_proto(model)

    def make(lowering: Lowering) -> onnx.ModelProto:
        return finish(ir.from_proto(proto), metadata, lowering, options.output or "uint8")

    lowering = fastest(make, runner, note) if runner else cast("Lowering", options.lowering or "none")
    graph = make(lowering)
    _write(graph, target, note)
    advice = "Nothing was written. This is a bug in gantool: report it with the generator"
    report = check(target, reference, "fp32", min_psnr, advice)
    note(f"{target.name} against {other} on {len(SEEDS)} seeds: {report}")
    record(graph, target, report.to_json())
    return replace(reference, infinite=report.infinite)


def _write(graph: onnx.ModelProto, target: Path, note: Note) -> None:
    """Check a graph and write it; say how far ONNX Runtime may optimize it, if not all the way."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GantoolError(
            f"onnx.checker refuses {target.name}: {short(' '.join(str(error).split()), 300)}"
        ) from error
    write_model(graph, target)
    if recipe_of(target).on_cpu and (level := level_that_works(target, target.read_bytes())) != LEVELS[0]:
        note(f"{target.name}: ONNX Runtime crashes with {LEVELS[0]} on it, so it is run with {level}")

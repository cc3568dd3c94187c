"""Sensitivity search: find which nodes must stay in FP32, or out of INT8, for a graph to pass the gate.

First, nodes with inputs, weights or outputs beyond FP16's range stay in FP32. Then, while the graph does not pass
the gate, the search compares it with its FP32 form layer by layer: the signal-to-noise ratio of a layer's output
against that of its input. The layer that adds most noise goes one step up: from INT8 to FP16 or FP32, or from
FP16 to FP32.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from gantool.export.graph.names import in_tail
from gantool.export.precision import quantize
from gantool.export.precision.cast import convert_precision, range_of
from gantool.export.precision.guards import underflowing, upstream
from gantool.export.precision.parity import BATCH, Reference, Report, measure
from gantool.export.precision.simulate import Arrays, Simulation
from gantool.runtime.artifacts.onnx import RECIPE_KEY
from gantool.runtime.artifacts.recipe import Low, Recipe
from gantool.runtime.errors import GantoolError, UsageError, VerificationError
from gantool.runtime.process.terminal import listed

_log = logging.getLogger(__name__)

EXACT = 200.0  # dB, stands for no noise


def apply_recipe(full: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """Return a copy of an FP32 graph in the precisions of the recipe, with the recipe in its metadata.

    Raises GantoolError if the recipe names nodes that the graph does not have.
    """
    model = ir.from_proto(full)
    names = {str(node.name) for node in model.graph}
    if unknown := sorted({*recipe.keep_fp32, *recipe.int8} - names):
        raise GantoolError(
            f"the recipe names nodes that the graph does not have ({', '.join(unknown[:3])} ...): it was made "
            "for another network or `lowering`"
        )
    pinned = {*recipe.keep_fp32, *quantize.quantize(model, recipe.int8)}
    if recipe.low:
        convert_precision(model, recipe.low, pinned)
    RemoveUnusedNodesPass()(model)  # the FP32 weights
    model.metadata_props[RECIPE_KEY] = json.dumps(recipe.to_json())
    return ir.to_proto(model)


@dataclass(frozen=True)
class Reduced:
    """A graph in a lower precision, with its measurements."""

    graph: onnx.ModelProto
    recipe: Recipe
    simulation: Simulation
    report: Report


def apply_and_measure(full: onnx.ModelProto, recipe: Recipe, reference: Reference) -> Reduced:
    """Apply a recipe to an FP32 graph and measure the result."""
    graph = apply_recipe(full, recipe)
    simulation = Simulation(graph)
    return Reduced(graph, recipe, simulation, measure(simulation, reference))


def search_precision(
    full: onnx.ModelProto,
    values: Arrays,
    start: Recipe,
    reference: Reference,
    min_psnr: float | None,
) -> Reduced:
    """Return a graph that passes the gate, with few exceptions to `start`, the recipe of the requested precision.

    `values` are the activations of the FP32 graph `full` for one batch. Raises VerificationError if no layer in the
    requested precision is left.
    """
    recipe = start
    if recipe.low:
        recipe = _keep(
            recipe, out_of_range(full, recipe.low, values) | underflowing(full, recipe.low, values)
        )
    layers = [str(node.name) for node in quantize.quantizable_nodes(ir.from_proto(full))]
    while True:
        found = apply_and_measure(full, recipe, reference)
        report = found.report
        if (problem := report.problem(recipe.precision, min_psnr)) is None:
            break
        if recipe.low and (origin := _upstream_nodes(full, report.bad, recipe)):
            _log.info(f"{problem}: {report.bad} stays in FP32, with the nodes before it")
            recipe = _keep(recipe, dict.fromkeys(origin, f"{report.bad} outputs NaN or infinity"))
            continue
        names = list(recipe.int8) if start.int8 else [name for name in layers if name not in recipe.keep_fp32]
        if not names:
            break
        ratios = _signal_to_noise(full, found.simulation, values, reference, names)
        worst = max(ratios, key=lambda name: _added_noise(*ratios[name]))
        step = "INT8" if recipe.int8 else str(recipe.low).upper()
        reason = "signal to noise falls from {:.0f} to {:.0f} dB in ".format(*ratios[worst]) + step
        _log.info(f"{problem}: {worst} stays out, its {reason}")
        if recipe.int8:
            recipe = replace(
                recipe, int8={name: limit for name, limit in recipe.int8.items() if name != worst}
            )
        else:
            recipe = _keep(recipe, dict.fromkeys(_with_fused(full, worst), reason))
    left = recipe.int8 if start.int8 else set(layers) - set(recipe.keep_fp32)
    if problem or not left:
        raise _not_reached(start, recipe, problem or "every layer would have to stay out")
    return found


def _not_reached(start: Recipe, recipe: Recipe, problem: str) -> VerificationError:
    large = any(reason.startswith("numbers up to") for reason in recipe.keep_fp32.values())
    advice = "; weights this large are rarely intended: train longer or with a lower --lr" if large else ""
    return VerificationError(
        f"{start.precision.upper()} does not pass the gate: {problem}. Nothing was written; give a lower "
        f"`min_psnr` if that is enough, or another precision{advice}"
    )


def match_patterns(full: onnx.ModelProto, patterns: Sequence[str]) -> dict[str, str]:
    """Return the nodes that match each --keep-fp32 PATTERN, with the pattern as the reason.

    Raises UsageError if a pattern matches no node, or if together they match every layer.
    """
    names = [node.name for node in full.graph.node if not in_tail(node.name)]
    kept: dict[str, str] = {}
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise UsageError(f"`keep_fp32` {pattern!r} matches no node; the nodes are {listed(names, 200)}")
        kept |= dict.fromkeys(found, f"--keep-fp32 {pattern}")
    if kept and all(str(node.name) in kept for node in quantize.quantizable_nodes(ir.from_proto(full))):
        raise UsageError("`keep_fp32` names every layer with weights: nothing would be left in another type")
    return kept


def calibrate(
    full: onnx.ModelProto, batches: Sequence[Arrays], method: str, ends: bool, keep: dict[str, str]
) -> dict[str, float]:
    """Return the layers to quantize, each with the clipping magnitude of its data in the calibration `batches`.

    `ends` includes the first and the last layer, which affect images most. Layers in `keep` are left out.
    """
    layers = quantize.quantizable_nodes(ir.from_proto(full))
    # Identify the ends by their input: a lowered layer is several nodes with the same input.
    outer = [] if ends else [layers[0].inputs[0], layers[-1].inputs[0]]
    layers = [node for node in layers if node.name not in keep and node.inputs[0] not in outer]
    if not layers:
        raise UsageError("`int8` finds no layer between the first and the last: add `int8_ends`")
    reads = {str(node.name): str(node.inputs[0].name) for node in layers if node.inputs[0] is not None}
    found = quantize.calibrate(batches, reads.values(), method)
    return {name: found[value] for name, value in reads.items()}


def out_of_range(full: onnx.ModelProto, low: Low, values: Arrays) -> dict[str, str]:
    """Return the nodes with inputs, weights or outputs beyond the range of `low`, with the reason."""
    limit, weights = range_of(low), {}
    for weight in full.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weights[weight.name] = onnx.numpy_helper.to_array(weight)
    found = {}
    for node in full.graph.node:
        if in_tail(node.name):
            continue
        known: list[NDArray[Any]] = [
            array
            for name in (*node.input, *node.output)
            if (array := values.get(name, weights.get(name))) is not None
        ]
        largest = max(
            (_largest(array) for array in known if array.dtype == np.float32),
            default=0,
        )
        if largest > limit:
            found[node.name] = f"numbers up to {largest:.3g}, over the {limit:g} of {low.upper()}"
    return found


def _largest(array: NDArray[np.float32]) -> float:
    """Return the largest finite magnitude; every float type has infinity, and a mask may use it."""
    return float(np.abs(array, where=np.isfinite(array), out=np.zeros_like(array)).max(initial=0))


def _upstream_nodes(full: onnx.ModelProto, name: str | None, recipe: Recipe) -> list[str]:
    """Return the node `name` and the nodes before it, back to the layers, that are not in FP32 yet."""
    model = ir.from_proto(full)
    node = next((node for node in model.graph if node.name == name), None)
    if node is None or in_tail(name):
        return []
    feeding = [one for value in node.inputs if value is not None for one in upstream(model, value)]
    names = [] if node in quantize.quantizable_nodes(model) else [str(node.name)]
    names += [str(one.name) for one in feeding]
    return [one for one in dict.fromkeys(names) if one not in recipe.keep_fp32]


def _keep(recipe: Recipe, more: dict[str, str]) -> Recipe:
    return replace(recipe, keep_fp32={**more, **recipe.keep_fp32})


def _with_fused(full: onnx.ModelProto, name: str) -> list[str]:
    """Return a layer and the nodes that a library fuses into it."""
    node = next(node for node in ir.from_proto(full).graph if node.name == name)
    return [name, *(str(follower.name) for follower in quantize.fused_activations(node))]


def _signal_to_noise(
    full: onnx.ModelProto, low: Simulation, values: Arrays, reference: Reference, names: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return the signal-to-noise ratios, in dB, of each layer's input and output in the graph `low`."""
    nodes = {node.name: node for node in full.graph.node}
    made = {value for node in full.graph.node for value in node.output}
    reads = {name: [value for value in nodes[name].input if value in made] for name in names}
    probes = sorted({value for name in names for value in (*reads[name], nodes[name].output[0])})
    (noisy,) = islice(low.run(reference.feeds, probes, BATCH), 1)
    snr = {value: _snr(values[value], noisy[value]) for value in probes}
    return {
        name: (min((snr[value] for value in reads[name]), default=EXACT), snr[nodes[name].output[0]])
        for name in names
    }


def _added_noise(before: float, after: float) -> float:
    """Return the noise power that a layer adds, relative to its signal."""
    return float(10 ** (-after / 10) - 10 ** (-before / 10))


def _snr(exact: NDArray[Any], noisy: NDArray[Any]) -> float:
    finite = np.isfinite(exact)
    if not finite.any():
        return EXACT
    noise = float(np.square(exact[finite].astype(np.float64) - noisy[finite]).mean())
    signal = float(np.square(exact[finite], dtype=np.float64).mean())
    if not math.isfinite(noise):
        return -EXACT
    return min(10 * math.log10(signal / noise), EXACT) if noise and signal else EXACT

"""The precision report: the type in which each layer computes, and the share of multiply-adds by type.

An engine of a strongly typed network has exactly the network's types, so the report is read from the network. If
the builder may choose types (TensorRT 8.x, and DLA before 11), the engine inspector reads it from the engine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from gantool.export.macs import Layer, of_convolution, of_product, shares
from gantool.runtime.artifacts.recipe import Recipe
from gantool.runtime.errors import VerificationError

NETWORK, INSPECTOR = "network, strongly typed", "engine inspector"
UNKNOWN = "UNKNOWN"  # the inspector does not show the type
_BITS = {"FLOAT": 32, "HALF": 16, "BF16": 16, "INT8": 8, UNKNOWN: 0}
# Patterns in the inspector's "Format/Datatype": "Row major linear FP16 format" in TensorRT 8, "Half" in 10.
_WORDS = {"FLOAT": r"FP32|\bFloat", "HALF": r"\bFP16|Half", "BF16": "BF16|BFloat", "INT8": "Int8"}


@dataclass(frozen=True)
class PrecisionReport:
    """The layers with the types that they compute in."""

    source: str  # NETWORK or INSPECTOR
    layers: tuple[Layer, ...]

    def shares(self) -> dict[str, float]:
        """Return the share of multiply-adds by type, the largest first; they add up to 1."""
        return shares(self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object for the sidecar."""
        rounded = {kind: round(share, 4) for kind, share in self.shares().items()}
        return {"source": self.source, "shares": rounded, "layers": [asdict(layer) for layer in self.layers]}

    def __str__(self) -> str:
        by_type = ", ".join(f"{share:.1%} {kind}" for kind, share in self.shares().items())
        return f"multiply-adds: {by_type or 'none'} ({self.source})"


def network_layers(network: Any) -> Iterator[Any]:
    """Yield the layers of a network."""
    for index in range(network.num_layers):
        yield network.get_layer(index)


def of_network(trt: ModuleType, network: Any) -> PrecisionReport:
    """Read the report from a network: a layer computes in the type of its first input.

    A layer computes in INT8 if both its data and its weights come from Dequantize layers.
    """
    kinds = trt.LayerType
    dequantized = {
        layer.get_output(0).name for layer in network_layers(network) if layer.type == kinds.DEQUANTIZE
    }
    layers = []
    for layer in network_layers(network):
        tensor = layer.get_input(0) or layer.get_output(0)  # a constant layer has no input
        weights = layer.get_input(1)
        count = _multiply_adds(trt, layer)
        integer = count and weights and {tensor.name, weights.name} <= dequantized
        layers.append(Layer(layer.name, layer.type.name, "INT8" if integer else tensor.dtype.name, count))
    return PrecisionReport(NETWORK, tuple(layers))


def _multiply_adds(trt: ModuleType, layer: Any) -> int:
    convolutions = {
        trt.LayerType.CONVOLUTION: (trt.IConvolutionLayer, layer.get_output),
        trt.LayerType.DECONVOLUTION: (trt.IDeconvolutionLayer, layer.get_input),
    }
    if layer.type in convolutions:
        kind, tensor = convolutions[layer.type]
        layer.__class__ = kind  # the bindings' way to cast an ILayer to its subclass
        channels = layer.get_input(0).shape[1] * layer.num_output_maps // layer.num_groups
        return of_convolution(channels * math.prod(layer.kernel_size_nd), tuple(tensor(0).shape)[2:])
    if layer.type == trt.LayerType.MATRIX_MULTIPLY:
        layer.__class__ = trt.IMatrixMultiplyLayer
        inner = layer.get_input(0).shape[-2 if layer.op0 == trt.MatrixOperation.TRANSPOSE else -1]
        return of_product(inner, tuple(layer.get_output(0).shape))
    return 0


def of_engine(
    trt: ModuleType, engine: Any, requested: PrecisionReport, not_on_dla: Sequence[str] | None = None
) -> PrecisionReport:
    """Read the report from an engine that was built with detailed profiling verbosity.

    The inspector shows DLA as one layer. So the layers on DLA (all but `not_on_dla`; None without DLA) are reported
    with the requested type, which is FP16 or INT8. Other types that the inspector does not show are UNKNOWN.
    """
    context = engine.create_execution_context()
    for index in range(
        engine.num_io_tensors
    ):  # without shapes the inspector says "N/A due to dynamic shapes"
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            context.set_input_shape(name, engine.get_tensor_profile_shape(name, 0)[1])
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    entries = [entry for entry in json.loads(text)["Layers"] if entry.get("LayerType") != "Reformat"]
    layers = []
    for layer in requested.layers:
        found = {_type(entry) for entry in entries if _names(entry, layer.name)}
        on_dla = not_on_dla is not None and layer.name not in not_on_dla
        # the widest type, if the layer was split into several
        kind = next((kind for kind in _WORDS if kind in found), layer.type if on_dla else UNKNOWN)
        layers.append(Layer(layer.name, layer.kind, kind, layer.multiply_adds))
    return PrecisionReport(INSPECTOR, tuple(layers))


def _names(entry: dict[str, Any], name: str) -> bool:
    """Return whether an engine layer contains the network layer `name`; a fused layer lists all of its names."""
    text = f"{entry.get('Name', '')} {entry.get('Metadata', '')}"
    return re.search(rf"(?<![\w./]){re.escape(name)}(_myl\w*)?(?![\w./])", text) is not None


def _type(entry: dict[str, Any]) -> str:
    text = " ".join(tensor.get("Format/Datatype", "") for tensor in entry.get("Inputs", [])[:1])
    return next((kind for kind, words in _WORDS.items() if re.search(words, text)), UNKNOWN)


def check(requested: PrecisionReport, actual: PrecisionReport, recipe: Recipe) -> None:
    """Raise VerificationError if a layer computes in a wider type than the graph or its recipe gives it."""
    wanted = {layer.name: _BITS.get(layer.type, 0) for layer in requested.layers if layer.multiply_adds}
    if recipe.low:
        wanted = {name: bits if name in recipe.keep_fp32 else min(bits, 16) for name, bits in wanted.items()}
    missed = [layer for layer in actual.layers if _BITS.get(layer.type, 0) > wanted.get(layer.name, 32)]
    if missed:
        names = ", ".join(f"{layer.name} in {layer.type}" for layer in missed)
        raise VerificationError(
            f"the engine computes {names}, and the graph has a lower precision: {actual}. Nothing was written; try "
            "another `lowering`, or keep these layers in FP32 with `keep_fp32`"
        )

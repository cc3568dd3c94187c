"""The precision receipt: what each layer of a network computes in, and the share of multiply-adds by type.

A strongly typed network gives the engine exactly its types, so there the receipt is read off the network. Where the
builder is free to choose (TensorRT 8.x, and DLA before 11) it is read off the engine with the engine inspector.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from gantool.runtime.errors import VerificationError

LOW = ("HALF", "BF16", "INT8")
NETWORK, INSPECTOR = "network, strongly typed", "engine inspector"
# Words of the inspector's "Format/Datatype", and the types that they mean; BF16 before FP16 and Float.
_WORDS = {"Int8": "INT8", "BF16": "BF16", "BFloat": "BF16", "Half": "HALF", "FP16": "HALF", "Float": "FLOAT"}


@dataclass(frozen=True)
class Layer:
    """One layer of the network."""

    name: str  # of the ONNX node
    kind: str  # DECONVOLUTION, ...
    type: str  # FLOAT, HALF, BF16, INT8, ...
    multiply_adds: int  # for one image


@dataclass(frozen=True)
class Receipt:
    """What the layers compute in."""

    source: str  # NETWORK or INSPECTOR
    layers: tuple[Layer, ...]

    def shares(self) -> dict[str, float]:
        """Return the share of multiply-adds by type, the largest first; they add up to 1."""
        total = sum(layer.multiply_adds for layer in self.layers) or 1
        types = {layer.type for layer in self.layers if layer.multiply_adds}
        found = {kind: sum(x.multiply_adds for x in self.layers if x.type == kind) / total for kind in types}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def to_json(self) -> dict[str, Any]:
        """Return what the sidecar keeps."""
        shares = {kind: round(share, 4) for kind, share in self.shares().items()}
        return {"source": self.source, "shares": shares, "layers": [asdict(layer) for layer in self.layers]}

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.1%} {kind}" for kind, share in self.shares().items()) or "none"
        return f"multiply-adds: {shares} ({self.source})"


def network_layers(network: Any) -> Iterator[Any]:
    """Yield the layers of a network."""
    for index in range(network.num_layers):
        yield network.get_layer(index)


def of_network(trt: ModuleType, network: Any) -> Receipt:
    """Read the receipt off a network: a layer computes in the type of what it reads."""
    kinds = trt.LayerType
    dequantized = {
        layer.get_output(0).name for layer in network_layers(network) if layer.type == kinds.DEQUANTIZE
    }
    layers = []
    for layer in network_layers(network):
        tensor = layer.get_input(0) or layer.get_output(0)  # a constant reads nothing
        name = "INT8" if tensor.name in dequantized and _multiply_adds(trt, layer) else tensor.dtype.name
        layers.append(Layer(layer.name, layer.type.name, name, _multiply_adds(trt, layer)))
    return Receipt(NETWORK, tuple(layers))


def _multiply_adds(trt: ModuleType, layer: Any) -> int:
    """Count those of one image; the first axis of every tensor is N."""
    convolutions = {
        trt.LayerType.CONVOLUTION: (trt.IConvolutionLayer, layer.get_output),  # each output pixel: C·k·k
        trt.LayerType.DECONVOLUTION: (trt.IDeconvolutionLayer, layer.get_input),  # each input pixel: O·k·k
    }
    if layer.type in convolutions:
        kind, tensor = convolutions[layer.type]
        layer.__class__ = kind  # the way of the bindings from ILayer to the layer's own class
        pixels = math.prod(tensor(0).shape[2:])
        channels = layer.get_input(0).shape[1] * layer.num_output_maps // layer.num_groups
        return int(pixels * channels * math.prod(layer.kernel_size_nd))
    if layer.type == trt.LayerType.MATRIX_MULTIPLY:
        return int(math.prod(layer.get_output(0).shape[1:]) * layer.get_input(0).shape[-1])
    return 0


def of_engine(trt: ModuleType, engine: Any, asked: Receipt) -> Receipt:
    """Read the receipt off an engine that was built with detailed profiling verbosity.

    The inspector names a fused layer after all that are in it. A layer that it does not name, such as one on DLA,
    keeps the type that was asked for.
    """
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    fused = [entry for entry in json.loads(text).get("Layers", []) if isinstance(entry, dict)]
    layers = []
    for layer in asked.layers:
        kind = next((_type(entry) for entry in fused if layer.name in str(entry.get("Name", ""))), None)
        layers.append(Layer(layer.name, layer.kind, kind or layer.type, layer.multiply_adds))
    return Receipt(INSPECTOR, tuple(layers))


def _type(entry: dict[str, Any]) -> str | None:
    words = " ".join(str(tensor.get("Format/Datatype", "")) for tensor in entry.get("Inputs", [])[:1])
    return next((kind for word, kind in _WORDS.items() if word in words), None)


def check(asked: Receipt, got: Receipt, recipe: dict[str, Any]) -> None:
    """Raise VerificationError if a layer computes in FP32 that the graph or its recipe wants lower."""
    wanted = {layer.name for layer in asked.layers if layer.multiply_adds and layer.type in LOW}
    if recipe.get("low"):  # of gantool.export.recipe
        wanted |= {layer.name for layer in asked.layers if layer.multiply_adds} - set(recipe["keep_fp32"])
    if missed := [layer.name for layer in got.layers if layer.name in wanted and layer.type not in LOW]:
        raise VerificationError(
            f"the engine computes {', '.join(missed)} in FP32, which the graph wants in a lower precision: {got}. "
            "Nothing was written; try another --lowering, or keep them on purpose with --keep-fp32"
        )

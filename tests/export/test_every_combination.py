"""Every network in every precision and lowering: checked, compared in ONNX Runtime, built by TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from gantool.export.artifact import Graph
from gantool.export.engine.build import build
from gantool.export.engine.options import BuildOptions
from gantool.export.graph.layers import layers_of, shapes_of
from gantool.export.options import LOWERINGS, Precision
from gantool.runtime import GantoolError, Generator
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.recipe import Low, recipe_of
from helpers.networks import full_graph, low_graph

PRECISIONS = {
    "fp32": Precision(),
    "fp16": Precision("fp16"),
    "bf16": Precision("bf16"),
    "int8": Precision("fp16", int8=True),
}
WEIGHTS = {
    "fp32": onnx.TensorProto.FLOAT,
    "fp16": onnx.TensorProto.FLOAT16,
    "bf16": onnx.TensorProto.BFLOAT16,
    "int8": onnx.TensorProto.INT8,
}


# the others differ from these three in how they interleave
SLOW = ("phases", "phases-stack", "cpu", "dla-onehot")


@pytest.mark.parametrize(
    "lowering", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in LOWERINGS]
)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "name",
    [
        *("dcgan28", "dcgan32", "dcgan64", "dcgan5-32", "conditional", "rgba", "sprites"),
        pytest.param("dcgan128", marks=pytest.mark.slow),  # as dcgan64, once more
    ],
)
def test_export(name: str, precision: str, lowering: str, tmp_path: Path) -> None:
    graph, reference = full_graph(name, 22 if precision == "bf16" else 17, lowering)
    path = tmp_path / "g.onnx"
    onnx.save(graph, path)
    if precision != "fp32":
        low, found = low_graph(path, PRECISIONS[precision], reference)
        assert found == precision
        onnx.save(low, path)  # onnx.checker, and the gate
    weights = {weight.data_type for weight in onnx.load(path).graph.initializer if len(weight.dims) == 4}
    assert WEIGHTS[precision] in weights
    assert read_metadata(path).classes == (5 if name == "conditional" else 0)
    if precision != "bf16":
        with Generator.load(path) as generator:
            assert generator.images(range(4)).std() > 10  # images, not a grey area

    pytest.importorskip("tensorrt_rtx")
    if precision == "bf16" and "ConvTranspose" in {node.op_type for node in graph.graph.node}:
        with pytest.raises(
            GantoolError, match="`lowering` subpixel"
        ):  # TensorRT-RTX 1.7 has no BF16 form of it
            build(Graph.load(path), "rtx", BuildOptions())
    else:
        shares = build(Graph.load(path), "rtx", BuildOptions(1, 2, 4)).receipt.shares()
        assert sum(shares.values()) == pytest.approx(1)
        wanted = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16", "int8": "INT8"}[precision]
        assert shares[wanted] > (0.2 if precision == "int8" else 0.999)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_attention(precision: str, tmp_path: Path) -> None:
    """Matrix products of data by data, a softmax and a pooling, in every type."""
    test_export("attention", precision, "subpixel", tmp_path)
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "g.onnx")).graph
    layers = layers_of(graph, shapes_of(graph))
    low = {"fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16", "int8": "FLOAT16"}[precision]
    products = [(layer.type, layer.multiply_adds) for layer in layers if layer.kind == "MatMul"]
    assert products == [(low, 64 * 16 * 4), (low, 64 * 16 * 16)]  # pixels, keys, channels
    if precision != "bf16":
        with Generator.load(tmp_path / "g.onnx") as generator:
            together = generator.images(range(7))
            for batch in (1, 3):
                assert np.array_equal(generator.images(range(7), batch=batch), together)


@pytest.mark.parametrize("low", [None, "bf16"])
def test_int8_beside_other_types(low: Low | None, tmp_path: Path) -> None:
    graph, reference = full_graph("dcgan32", 22, "subpixel")
    path = tmp_path / "g.onnx"
    onnx.save(graph, path)
    low_model, found = low_graph(path, Precision(low, int8=True), reference)
    assert found == "int8"
    onnx.save(low_model, path)
    assert recipe_of(path).on_cpu == (low is None)
    pytest.importorskip("tensorrt_rtx")
    shares = build(Graph.load(path), "rtx", BuildOptions(1, 2, 4)).receipt.shares()
    assert set(shares) == {"INT8", "BF16" if low else "FLOAT"}
    assert shares["INT8"] > 0.5

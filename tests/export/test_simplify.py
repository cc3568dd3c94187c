"""Rewriting a graph changes no number in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array, to_array
from onnx_ir.passes.common import ShapeInferencePass

from field import graphs
from field.cases import gantool
from gantool.export.graph.padding import write_paddings
from gantool.export.graph.simplify import simplify
from gantool.runtime import Generator
from gantool.runtime.errors import GantoolError

OPERATORS = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Clip")


def graph_of(
    operator: str, shape: list[Any], weights: dict[str, NDArray[Any]], **attributes: Any
) -> onnx.ModelProto:
    """Return a graph of one node, x to y."""
    graph = make_graph(
        [make_node(operator, ["x", *weights], ["y"], name="node", **attributes)],
        "g",
        [make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [from_array(array, name) for name, array in weights.items()],
    )
    return make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)])


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what ONNX Runtime makes of x."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


@given(operator=st.sampled_from(OPERATORS), exponent=st.floats(-12, -3), scalar=st.booleans())
def test_no_small_constant_is_lost(operator: str, exponent: float, scalar: bool) -> None:
    small = 10**exponent
    number = np.float32(1 + max(small, 2e-7) if operator in ("Mul", "Div") else small)
    constant = np.array(number if scalar or operator == "Clip" else [number], np.float32)
    model = ir.from_proto(graph_of(operator, ["N", 4], {"c": constant}))
    simplify(model)
    after = ir.to_proto(model)
    assert [node.op_type for node in after.graph.node] == [operator]
    assert any((to_array(weight) == constant).all() for weight in after.graph.initializer)


def folded(*nodes: onnx.NodeProto, **weights: NDArray[Any]) -> onnx.ModelProto:
    """Return x + w after simplification, in which the nodes make w."""
    graph = make_graph(
        [*nodes, make_node("Add", ["x", "w"], ["y"], name="add")],
        "g",
        [make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 1, 1, 1])],
        [make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [from_array(array, name) for name, array in weights.items()],
    )
    model = ir.from_proto(make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)]))
    simplify(model)
    return ir.to_proto(model)


@pytest.mark.parametrize("side", [64, 1024, 1 << 20])
@pytest.mark.parametrize("operator", ["Expand", "Tile", "ConstantOfShape"])
def test_no_constant_makes_the_file_larger(operator: str, side: int) -> None:
    shape = np.array([1, 1, side, side])
    inputs = ["shape"] if operator == "ConstantOfShape" else ["c", "shape"]
    after = folded(make_node(operator, inputs, ["w"]), c=np.ones((1, 1, 1, 1), np.float32), shape=shape)
    assert after.ByteSize() < 1 << 16
    stays = side > 64 or operator == "ConstantOfShape"  # which onnxscript never folds
    assert (operator in [node.op_type for node in after.graph.node]) == stays


def test_large_weights_are_folded() -> None:
    weight = np.full((1, 1, 1024, 1024), 2, np.float32)
    after = folded(make_node("Div", ["v", "sigma"], ["w"]), v=weight, sigma=np.float32(4).reshape(1))
    assert [node.op_type for node in after.graph.node] == ["Add"]
    assert any((to_array(each) == 0.5).all() for each in after.graph.initializer)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID", "output_shape"])
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "MaxPool", "AveragePool"])
def test_paddings_are_those_of_onnx_runtime(operator: str, mode: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 2, 7, 6)).astype(np.float32)
    compared = 0
    for kernel in (1, 2, 3, 4, 5):
        for stride in (1, 2, 3):
            attributes: dict[str, Any] = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
            if mode != "output_shape":
                attributes["auto_pad"] = mode
            elif operator == "ConvTranspose":
                attributes["output_shape"] = [7 * stride, 6 * stride - 1]
            else:
                continue
            weight = rng.standard_normal((2, 2, kernel, kernel)).astype(np.float32)
            before = graph_of(
                operator, ["N", 2, 7, 6], {"w": weight} if "Conv" in operator else {}, **attributes
            )
            try:
                expected = run(before, x)
            except Exception:
                continue
            model = ir.from_proto(before)
            ShapeInferencePass()(model)
            write_paddings(model)
            (node,) = model.graph
            assert not {"auto_pad", "output_shape"} & set(node.attributes)
            np.testing.assert_allclose(run(ir.to_proto(model), x), expected, atol=1e-5)
            compared += 1
    assert compared or (mode == "output_shape" and operator != "ConvTranspose")


def test_a_library_that_pads_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs.keras(tmp_path)
    monkeypatch.setattr("gantool.export.graph.from_onnx.write_paddings", lambda *_: None)
    assert gantool("export same_upper.onnx --engine none -o g", tmp_path).code == 0
    with pytest.raises(GantoolError, match="declares images of 28×28×1, and this library makes 53×53×1"):
        Generator.load(tmp_path / "g.onnx", "openvino")

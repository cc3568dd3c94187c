"""Generators whose types, or whose way to a lower one, are not everybody's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from field.cases import Case, gantool
from field.graphs import same_on_openvino, variants

NONE = "--engine none -o g"


def in_bfloat16(folder: Path) -> None:
    """Have a graph in bfloat16, of which ONNX Runtime has no layers on a CPU."""
    variants(folder)
    graph = onnx.load(folder / "half.onnx")
    graph.opset_import[0].version = 22  # the first with convolutions in it
    graph.graph.ClearField("value_info")
    for weight in graph.graph.initializer:
        if weight.data_type == TensorProto.FLOAT16:
            high = numpy_helper.to_array(weight).astype(np.float32).view(np.uint32) >> 16
            name, dims = weight.name, weight.dims
            weight.CopyFrom(
                helper.make_tensor(
                    name, TensorProto.BFLOAT16, dims, high.astype(np.uint16).tobytes(), raw=True
                )
            )
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    onnx.save(graph, folder / "bfloat16.onnx")


def quantized_matrix(folder: Path) -> None:
    """Have one layer in Q/DQ whose products of INT8 leave 16 bits, two by two: z [N, 64] -> images [N, 3, 8, 8]."""
    rng = np.random.RandomState(0)
    weights = {
        "z/scale": np.float32(2 / 127),
        "zero": np.int8(0),
        "w": rng.choice(np.array([-127, -90, 90, 127], np.int8), (64, 192)),
        "w/scale": np.float32(0.12 / 127),
        "shape": np.array([-1, 3, 8, 8]),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["z", "z/scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "z/scale", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "w/scale", "zero"], ["m"]),
        helper.make_node("MatMul", ["x", "m"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "z/scale", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "z/scale", "zero"], ["yd"]),
        helper.make_node("Tanh", ["yd"], ["t"]),
        helper.make_node("Reshape", ["t", "shape"], ["image"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]),
        folder / "q.onnx",
    )


def activation_in_fp32(folder: Path) -> None:
    """Find Celu, which ONNX has in float32 alone, between Casts, and the layers in FP16."""
    graph = onnx.load(folder / "g.fp16.onnx").graph
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert {kinds[node.input[1]] for node in layers} == {TensorProto.FLOAT16}
    assert "Celu" in {node.op_type for node in graph.node}


def plan_is_known(folder: Path) -> None:
    """Have a plan, and its sidecar, read by gantool; every product of matrices counts."""
    answer = gantool("inspect g.rtx.plan --json", folder)
    assert answer.code == 0, answer.err
    products = [layer for layer in json.loads(answer.out)["layers"] if layer["kind"] == "MATRIX_MULTIPLY"]
    assert len(products) > 4
    # 16 tokens of 32 channels become queries, keys and values; so many for one image, wherever N stands
    assert 16 * 32 * 3 * 32 in {layer["multiply_adds"] for layer in products}
    assert min(layer["multiply_adds"] for layer in products) > 0


CASES = [
    Case("bfloat16", f"export bfloat16.onnx --fp16 {NONE}", prepare=in_bfloat16, then=same_on_openvino),
    Case("Q/DQ of a matrix", f"export q.onnx {NONE}", prepare=quantized_matrix, then=same_on_openvino),
    Case(
        "an operator that FP16 lacks",
        f"export --from norms_and_ups:celu --latent 32 --fp16 {NONE}",
        then=activation_in_fp32,
    ),
    Case(
        "engine of attention",
        "export --from layer_norm:attention --latent 32 --engine rtx -o g",
        then=plan_is_known,
    ),
]

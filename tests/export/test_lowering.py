"""Every lowering against the graph it came from, in real ONNX Runtime and TensorRT-RTX builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from gantool.export.artifact import Graph
from gantool.export.engine.build import build
from gantool.export.engine.options import BuildOptions
from gantool.export.graph.from_torch import add_tail
from gantool.export.graph.lowering import Lowered, lower
from gantool.export.options import LOWERINGS, Lowering
from gantool.export.precision.psnr import compare
from gantool.runtime.latents import latents
from helpers.networks import NETWORKS, full_graph, in_fp16

REWRITING = tuple(name for name in LOWERINGS if name != "none")
SOME = ("dcgan28", "dcgan32", "dcgan64", "dcgan5-32", "attention", "tile")


def run(graph: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def lowered(graph: onnx.ModelProto, name: Lowering) -> tuple[onnx.ModelProto, Lowered]:
    """Return a valid graph with every shape known but N, and what was done."""
    model = ir.from_proto(graph)
    done = lower(model, name)
    for node in model.graph:
        for value in node.outputs:
            assert value.shape is not None, value
            assert all(isinstance(size, int) for size in value.shape[1:]), value
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto, done


def deconvolution(
    weight: NDArray[Any],
    size: tuple[int, int] = (3, 5),
    bias: NDArray[Any] | None = None,
    weights_are: str = "initializers",
    **attributes: Any,
) -> onnx.ModelProto:
    """Return x [N, C, h, w] -> ConvTranspose "up" -> Relu -> y."""
    weights = {"w": weight} | ({} if bias is None else {"b": bias})
    nodes = [make_node("ConvTranspose", ["x", *weights], ["up_out"], "up", **attributes)]
    nodes.append(make_node("Relu", ["up_out"], ["y"], "relu"))
    inputs = [make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", weight.shape[0], *size])]
    initializers = [from_array(array, name) for name, array in weights.items()]
    if weights_are == "constants":
        nodes = [make_node("Constant", [], [i.name], value=i) for i in initializers] + nodes
        initializers = []
    elif weights_are == "inputs":
        inputs += [make_tensor_value_info(n, onnx.TensorProto.FLOAT, a.shape) for n, a in weights.items()]
    output = make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", None, None, None])
    graph = make_graph(nodes, "g", inputs, [output], initializers)
    model = make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)])
    return onnx.shape_inference.infer_shapes(model)


@st.composite
def layers(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[int, int], dict[str, Any]]:
    """Draw weight, bias, input size and attributes: kernels are often those of real generators."""
    real = [(4, 2, 1, 0), (5, 2, 2, 1), (5, 1, 2, 0), (6, 2, 2, 0), (4, 2, 0, 0), (4, 1, 0, 0), (2, 2, 0, 0)]
    stride = draw(st.integers(1, 3))
    any_axis = st.tuples(st.integers(1, 6), st.just(stride), st.integers(0, 3), st.integers(0, stride - 1))
    one = st.sampled_from(real).map(lambda axis: (axis, axis))
    axes = draw(st.one_of(one, st.tuples(any_axis, any_axis)))
    size = draw(st.one_of(st.just((1, 1)), st.tuples(st.integers(1, 6), st.integers(1, 6))))
    for height, (kernel, step, pad, extra) in zip(size, axes, strict=True):
        assume(step * (height - 1) + kernel + extra - 2 * pad > 0)
    kernels, strides, pads, extras = (list(values) for values in zip(*axes, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    inputs, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    weight = rng.standard_normal((inputs, outputs, *kernels)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32) if draw(st.booleans()) else None
    return weight, bias, size, {"strides": strides, "pads": pads * 2, "output_padding": extras}


@settings(max_examples=60)
@given(layers(), st.integers(1, 3), st.sampled_from(["initializers", "constants"]))
def test_values_stay_the_same(
    layer: tuple[NDArray[Any], NDArray[Any] | None, tuple[int, int], dict[str, Any]],
    batch: int,
    weights_are: str,
) -> None:
    weight, bias, size, attributes = layer
    graph = deconvolution(weight, size, bias, weights_are, **attributes)
    x = np.random.default_rng(0).standard_normal((batch, len(weight), *size)).astype(np.float32)
    expected = run(graph, x)
    stride, pads, extras = attributes["strides"][0], attributes["pads"][:2], attributes["output_padding"]
    bare = not any(pads + extras)
    for name in REWRITING:
        proto, done = lowered(graph, name)
        found = run(proto, x)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))
        stays = bare and size != (1, 1) and name in ("dla", "dla-onehot")
        if name == "dla":
            exact = all(extra <= pad for extra, pad in zip(extras, pads, strict=True))
        else:
            exact = not any(length % stride for length in expected.shape[2:])
        if name == "cpu" and exact and stride > 1 and weight.shape[1] * stride**2 <= 16:
            stays = not (bare and size == (1, 1))
        if stays:
            assert done == Lowered()
        elif exact or (bare and size == (1, 1)):
            assert done == Lowered(rewritten=("up",))
            for node in proto.graph.node:
                assert node.op_type != "ConvTranspose" or name in ("dla", "dla-onehot")
                assert node.op_type != "ConvTranspose" or not any(
                    any(a.ints) for a in node.attribute if a.name in ("pads", "output_padding")
                )
        else:
            assert [who for who, _ in done.refused] == ["up"]


def network(name: str) -> onnx.ModelProto:
    """Return the float graph of a generator."""
    return full_graph(name, output="float")[0]


def with_tail(graph: onnx.ModelProto) -> onnx.ModelProto:
    model = ir.from_proto(graph)
    add_tail(model, 8)
    return ir.to_proto(model)


@pytest.mark.parametrize("lowering", REWRITING)
@pytest.mark.parametrize("name", SOME)
def test_networks(name: str, lowering: Lowering) -> None:
    graph, z = network(name), latents(range(8), NETWORKS[name].latent)
    channels = {weight.name: weight.dims[1] for weight in graph.graph.initializer if len(weight.dims) == 4}
    transposed = [node for node in graph.graph.node if node.op_type == "ConvTranspose"]
    floats, done = lowered(graph, lowering)
    strides = {node.name: onnx.helper.get_node_attr_value(node, "strides")[0] for node in transposed}
    few = {node.name for node in transposed if channels[node.input[1]] * strides[node.name] ** 2 <= 16}
    wanted = tuple(node.name for node in transposed if lowering != "cpu" or node.name not in few)
    assert done == Lowered(rewritten=wanted)
    assert len(wanted) == len(transposed) or lowering == "cpu"
    expected = run(graph, z)
    assert expected.std() > 0.1  # images, not a grey area
    np.testing.assert_allclose(run(floats, z), expected, rtol=0, atol=1e-5)

    full, done = lowered(with_tail(graph), lowering)
    assert done.rewritten == wanted
    assert [node.op_type for node in full.graph.node][-3:] == ["Clip", "Transpose", "Cast"]
    reference = run(with_tail(graph), z)
    assert compare(reference, run(full, z)).max_difference <= 1


def rtx_shares(graph: onnx.ModelProto, path: Path) -> dict[str, float]:
    onnx.save(graph, path)
    return build(Graph.load(path), "rtx", BuildOptions()).receipt.shares()


@pytest.mark.parametrize("lowering", REWRITING)
def test_the_usual_first_layer_is_a_matrix_product(lowering: Lowering, tmp_path: Path) -> None:
    """The usual code calls ConvTranspose2d on z as [N, latent, 1, 1]; here with a layer behind it."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        "w1": rng.standard_normal((20, 16, 4, 4)).astype(np.float32) / 4,
        "b1": rng.standard_normal(16).astype(np.float32),
        "w2": rng.standard_normal((16, 3, 4, 4)).astype(np.float32) / 16,
        "axes": np.array([2, 3]),
    }
    nodes = [  # without names, as some exporters leave them, and without shapes between
        make_node("Unsqueeze", ["z", "axes"], ["z4"]),
        make_node("ConvTranspose", ["z4", "w1", "b1"], ["x1"]),
        make_node("Relu", ["x1"], ["x2"]),
        make_node("ConvTranspose", ["x2", "w2"], ["x3"], strides=[2, 2], pads=[1, 1, 1, 1]),
        make_node("Tanh", ["x3"], ["images"]),
    ]
    z_in = make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", 20])
    images = make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])
    initializers = [from_array(array, name) for name, array in weights.items()]
    graph = make_graph(nodes, "g", [z_in], [images], initializers)
    model = make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)])
    proto, done = lowered(model, lowering)
    assert done == Lowered(rewritten=("x1",) if lowering == "cpu" else ("x1", "x3"))
    operators = [node.op_type for node in proto.graph.node]
    assert operators[1:5] == ["Flatten", "Gemm", "Reshape", "Relu"]
    assert [node.name for node in proto.graph.node][1:4] == ["x1/flatten", "x1/gemm", "x1/reshape"]
    kept = {weight.name for weight in proto.graph.initializer}
    assert kept & {"w1", "w2"} == ({"w2"} if lowering == "cpu" else set())
    z = latents(range(5), 20)
    np.testing.assert_allclose(run(proto, z), run(model, z), rtol=0, atol=1e-5)
    pytest.importorskip("tensorrt_rtx")
    assert rtx_shares(in_fp16(with_tail(proto)), tmp_path / "g.onnx") == {"HALF": 1.0}


@pytest.mark.parametrize(
    ("options", "lowering", "reason"),
    [
        ({"group": 2}, "subpixel", "group 2 is not 1"),
        ({"dilations": [2, 2]}, "phases", "dilations (2, 2) is not (1, 1)"),
        ({"auto_pad": "SAME_UPPER"}, "dla", "auto_pad SAME_UPPER is not NOTSET"),
        ({"output_shape": [6, 10]}, "dla-onehot", "output_shape (6, 10) is not ()"),
        ({"pads": [0, 0, 1, 1]}, "phases", "pads (0, 0, 1, 1) differ at the two ends of an axis"),
        ({"weights_are": "inputs"}, "subpixel", "weights w are not constant"),
        ({"strides": [2, 1], "pads": [1, 1, 1, 1]}, "phases-stack", "strides 2 and 1 differ"),
        ({"strides": [3, 3]}, "subpixel", "output 10×16 is not a multiple of stride 3"),
        ({"output_padding": [1, 0]}, "dla", "output_padding is more than pads"),
        ({"size": (3, None)}, "phases", "is not [N, C, h, w] with h and w known"),
    ],
)
def test_what_is_refused_stays(options: dict[str, Any], lowering: Lowering, reason: str) -> None:
    weight = np.ones((4, 3, 4, 4), np.float32)
    graph = deconvolution(weight, **{"strides": [2, 2], **options})
    model = ir.from_proto(graph)
    done = lower(model, lowering)
    assert done.rewritten == ()
    ((name, why),) = done.refused
    assert name == "up"
    assert reason in why
    after = ir.to_proto(model).graph
    assert list(after.node) == list(ir.to_proto(ir.from_proto(graph)).graph.node)
    assert list(after.initializer) == list(graph.graph.initializer)


def test_the_others_are_rewritten_and_a_second_time_nothing_is() -> None:
    for lowering in REWRITING:
        graph = onnx.ModelProto()
        graph.CopyFrom(network("dcgan32"))
        refused = [node for node in graph.graph.node if node.op_type == "ConvTranspose"][1]
        refused.attribute.append(onnx.helper.make_attribute("output_shape", [16, 16]))
        once, done = lowered(graph, lowering)
        assert len(done.rewritten) == (1 if lowering == "cpu" else 2)
        assert done.refused == ((refused.name, "output_shape (16, 16) is not ()"),)
        z = latents(range(4), NETWORKS["dcgan32"].latent)
        np.testing.assert_allclose(run(once, z), run(graph, z), rtol=0, atol=1e-5)
        again, done = lowered(once, lowering)
        assert done.rewritten == ()
        assert len(again.graph.node) == len(once.graph.node)


def test_none_changes_nothing() -> None:
    model = ir.from_proto(network("dcgan32"))
    before = ir.to_proto(model)
    assert lower(model, "none") == Lowered()
    assert ir.to_proto(model) == before

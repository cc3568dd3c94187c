"""FP16, BF16, INT8 and mixtures: what is written into the graph, and what the gate lets through."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array, to_array
from torch import nn

from gantool.export.graph.names import TAIL
from gantool.export.options import Calibration, ExportOptions, Precision
from gantool.export.precision import sensitivity
from gantool.export.precision.parity import Reference, measure
from gantool.export.precision.simulate import Simulation
from gantool.models import Generator, save_checkpoint
from gantool.runtime import GantoolError, UsageError, VerificationError
from gantool.runtime.artifacts.recipe import Recipe, read_recipe
from helpers.logs import logged
from helpers.networks import NETWORKS, export_full, full_graph, in_fp16, lived_in, low_graph

FP16, BF16 = onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16


def test_casts_stand_only_where_the_type_changes() -> None:
    full, _ = full_graph("dcgan32")
    half = in_fp16(full)
    onnx.checker.check_model(half, full_check=True)
    casts = [node for node in half.graph.node if node.op_type == "Cast" and not node.name.startswith(TAIL)]
    assert len(casts) == 2  # after z, before the tail
    kept = [node.name for node in full.graph.node if node.op_type in ("ConvTranspose", "Relu")][2:4]
    mixture = sensitivity.apply_recipe(full, Recipe("fp16", dict.fromkeys(kept, "")))
    casts = [node for node in mixture.graph.node if node.op_type == "Cast" and not node.name.startswith(TAIL)]
    assert len(casts) == 4  # around the two that stand in a row


@pytest.mark.parametrize("low", ["fp16", "bf16"])
def test_only_the_tail_and_what_is_kept_compute_in_fp32(low: str) -> None:
    full, _ = full_graph("dcgan28", 22)
    graph = sensitivity.apply_recipe(full, Recipe(low))  # type: ignore[arg-type]
    wanted = {"fp16": FP16, "bf16": BF16}[low]
    weights = {weight.name: weight.data_type for weight in graph.graph.initializer}
    for node in graph.graph.node:
        types = {weights[name] for name in node.input if name in weights} & {
            onnx.TensorProto.FLOAT,
            FP16,
            BF16,
        }
        if types:
            assert types == ({onnx.TensorProto.FLOAT} if node.name.startswith(f"{TAIL}/") else {wanted}), (
                node.name
            )
    (z,) = graph.graph.input
    assert z.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


@settings(max_examples=40)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    st.sampled_from(["fp16", "bf16"]),
)
def test_emulation_rounds_every_value(numbers: list[float], low: str) -> None:
    """Two steps in the low type, as NumPy does them."""
    nodes = [
        make_node("Add", ["z", "one"], ["a"], name="add"),
        make_node("Mul", ["a", "third"], ["images"], name="mul"),
    ]
    values = [make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 1]) for name in ("z", "images")]
    weights = [
        from_array(np.array(value, np.float32), name) for name, value in (("one", 1), ("third", 1 / 3))
    ]
    graph = make_graph(nodes, "g", values[:1], values[1:], weights)
    full = make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)])
    z = np.array(numbers, np.float32).reshape(-1, 1)
    low_model = sensitivity.apply_recipe(full, Recipe(low))  # type: ignore[arg-type]
    found = np.concatenate([part["images"] for part in Simulation(low_model).run({"z": z}, ["images"], 7)])
    dtype = np.float16 if low == "fp16" else ml_dtypes.bfloat16
    with np.errstate(over="ignore"):
        total = (z.astype(dtype).astype(np.float32) + 1).astype(dtype).astype(np.float32)
        third = np.float32(1 / 3).astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(found, (total * third).astype(dtype).astype(np.float32))


def scaled(factor: float) -> Generator:
    """Return a generator that is the same in FP32, with one layer's values `factor` times as large."""
    generator = lived_in(replace(NETWORKS["dcgan32"], width=8))
    layers = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    norms = [layer for layer in generator.layers if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        norms[-1].weight.mul_(factor)
        norms[-1].bias.mul_(factor)
        layers[-1].weight.div_(factor)
    return generator


@pytest.fixture
def graph_of_scaled(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Reference]:
    save_checkpoint(tmp_path / "c", scaled(request.param), 1, "shapes")
    return tmp_path / "g.onnx", export_full(tmp_path / "c", tmp_path / "g.onnx", ExportOptions())


@pytest.mark.parametrize("graph_of_scaled", [1e5, 1e7, 1e-7], indirect=True)
def test_what_fp16_cannot_hold_stays_in_fp32(graph_of_scaled: tuple[Path, Reference]) -> None:
    path, reference = graph_of_scaled
    plain = measure(Simulation(in_fp16(onnx.load(path))), reference)
    assert plain.problem("fp16") is not None
    graph, name = low_graph(path, Precision("fp16"), reference)
    assert name == "fp16"
    assert measure(Simulation(graph), reference).problem("fp16") is None
    recipe = json.loads({entry.key: entry.value for entry in graph.metadata_props}["gantool_recipe"])
    layers = {node.name for node in graph.graph.node if node.op_type in ("ConvTranspose", "Gemm")}
    kept = layers & set(recipe["keep_fp32"])
    assert 0 < len(kept) < len(layers)
    for node in graph.graph.node:
        if node.name in layers:
            (kind,) = {w.data_type for w in graph.graph.initializer if w.name == node.input[1]}
            assert kind == (onnx.TensorProto.FLOAT if node.name in kept else FP16)


def test_a_mistake_of_the_graph_is_named() -> None:
    full, reference = full_graph("dcgan16")
    broken = onnx.ModelProto()
    broken.CopyFrom(full)
    weight = next(weight for weight in broken.graph.initializer if len(weight.dims) == 4)
    weight.CopyFrom(from_array(np.full_like(to_array(weight), 3e38), weight.name))
    problem = measure(Simulation(broken), reference).problem("fp32")
    assert problem is not None
    reader = next(node.name for node in broken.graph.node if weight.name in node.input)
    assert problem.startswith(f"{reader} (")
    assert "outputs NaN or infinity" in problem


def test_dead_latents_do_not_pass() -> None:
    """Images near the reference's mean: every seed the same, which PSNR alone would let through at --min-psnr 5."""
    full, reference = full_graph("dcgan16")
    dead = onnx.ModelProto()
    dead.CopyFrom(full)
    first = next(node for node in dead.graph.node if node.op_type == "Gemm")
    for weight in dead.graph.initializer:
        if weight.name == first.input[1]:
            weight.CopyFrom(from_array(to_array(weight) * 0, weight.name))
    problem = measure(Simulation(dead), reference).problem("fp16", min_psnr=0.1)
    assert problem is not None
    assert "images of different seeds are alike: 0%" in problem


def test_an_image_that_depends_on_its_batch_does_not_pass() -> None:
    """BatchNorm that was exported in training mode: here as a mean over the batch."""
    full, reference = full_graph("dcgan16", output="float")
    mixed_up = onnx.ModelProto()
    mixed_up.CopyFrom(full)
    users = [(node, list(node.input).index("z")) for node in mixed_up.graph.node if "z" in node.input]
    for node, index in users:
        node.input[index] = "centred"
    mean = make_node("ReduceMean", ["z"], ["mean"], name="mean", axes=[0], keepdims=1)
    mixed_up.graph.node.insert(0, make_node("Sub", ["z", "mean"], ["centred"], name="centre"))
    mixed_up.graph.node.insert(0, mean)
    problem = measure(Simulation(mixed_up), reference).problem("fp16", min_psnr=0.1)
    assert problem is not None
    assert re.search("alike|depends on its batch", problem)


def test_the_last_layer_stays_out_of_int8_though_it_was_lowered_to_several(tmp_path: Path) -> None:
    full, reference = full_graph("dcgan64", lowering="phases-stack")
    onnx.save(full, tmp_path / "g.onnx")
    graph, _ = low_graph(tmp_path / "g.onnx", Precision(int8=True, min_psnr=10), reference)
    last = [node.name for node in full.graph.node if node.op_type == "Conv"][-4:]
    inputs = {node.name: node.input for node in graph.graph.node if node.op_type == "Conv"}
    back = {node.output[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"}
    assert [name for name in inputs if not {*inputs[name][:2]} & back] == last
    assert len({name.split("/")[0] for name in last}) == 1


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
@pytest.mark.parametrize("ends", [False, True])
def test_int8_pairs_stand_where_tensorrt_fuses(method: Calibration, ends: bool, tmp_path: Path) -> None:
    full, reference = full_graph("dcgan64")
    onnx.save(full, tmp_path / "g.onnx")
    precision = Precision(int8=True, int8_ends=ends, calibration=method, min_psnr=10)
    graph, name = low_graph(tmp_path / "g.onnx", precision, reference)
    assert name == "int8"
    onnx.checker.check_model(graph, full_check=True)
    nodes = {output: node for node in graph.graph.node for output in node.output}
    weights = {weight.name: to_array(weight) for weight in graph.graph.initializer}
    users: dict[str, list[str]] = {}
    for node in graph.graph.node:
        for value in node.input:
            users.setdefault(value, []).append(node.op_type)
    layers = [node for node in graph.graph.node if node.op_type in ("Gemm", "ConvTranspose")]
    quantized = [node for node in layers if node.input[1] in nodes]
    assert len(quantized) == (len(layers) if ends else len(layers) - 2)
    for node in quantized:
        data, weight = (nodes[value] for value in node.input[:2])
        assert data.op_type == weight.op_type == "DequantizeLinear"
        assert nodes[data.input[0]].op_type == "QuantizeLinear"
        integers, scale, zero = (weights[value] for value in weight.input)
        axis = onnx.helper.get_attribute_value(weight.attribute[0])
        channels = integers.shape[axis]
        assert axis == (1 if node.op_type == "ConvTranspose" else 0)  # [C, O, k, k]; torch's Gemm has [N, K]
        assert scale.shape == (channels,)
        assert not zero.any()
        others = tuple(index for index in range(integers.ndim) if index != axis)
        assert (np.abs(integers).max(others) == 127).all()
        assert not {"QuantizeLinear", "Cast"} & set(users[node.output[0]])  # not before the activation
    assert set(weights) <= {value for node in graph.graph.node for value in node.input}  # none left behind
    assert all(weights[node.input[2]] == 0 for node in graph.graph.node if node.op_type == "QuantizeLinear")


def test_layers_that_int8_spoils_are_left_out(tmp_path: Path) -> None:
    full, reference = full_graph("dcgan64")
    onnx.save(full, tmp_path / "g.onnx")
    first, _ = low_graph(tmp_path / "g.onnx", Precision(int8=True, min_psnr=5), reference)
    start = measure(Simulation(first), reference)
    wanted = start.parity.psnr + 1
    with logged() as said:
        graph, _ = low_graph(tmp_path / "g.onnx", Precision("fp16", int8=True, min_psnr=wanted), reference)
    assert measure(Simulation(graph), reference).parity.psnr >= wanted
    assert re.search(r"stays out, its signal to noise falls from \d+ to \d+ dB in INT8", said[0])
    with pytest.raises(VerificationError, match="INT8 does not pass the gate"):
        low_graph(tmp_path / "g.onnx", Precision(int8=True, min_psnr=90), reference)


def test_keep_fp32_by_hand(tmp_path: Path) -> None:
    full, reference = full_graph("dcgan32")
    onnx.save(full, tmp_path / "g.onnx")
    gemm = next(node.name for node in full.graph.node if node.op_type == "Gemm")
    graph, _ = low_graph(tmp_path / "g.onnx", Precision("fp16", keep_fp32=(gemm,)), reference)
    assert next(node.input[1] for node in graph.graph.node if node.name == gemm) in {
        weight.name for weight in graph.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT
    }
    with pytest.raises(UsageError, match=f"'typo' matches no node; the nodes are .*{gemm}"):
        low_graph(tmp_path / "g.onnx", Precision("fp16", keep_fp32=("typo",)), reference)
    with pytest.raises(UsageError, match="names every layer"):
        low_graph(tmp_path / "g.onnx", Precision("fp16", keep_fp32=("*",)), reference)


def test_bf16_needs_an_opset_that_has_it(tmp_path: Path) -> None:
    full, reference = full_graph("dcgan16")
    onnx.save(full, tmp_path / "g.onnx")
    with pytest.raises(GantoolError, match="has opset 17, whose convolutions do not take bfloat16"):
        low_graph(tmp_path / "g.onnx", Precision("bf16"), reference)


def test_a_low_graph_is_not_converted_twice(tmp_path: Path) -> None:
    full, reference = full_graph("dcgan16")
    onnx.save(in_fp16(full), tmp_path / "h.onnx")
    with pytest.raises(GantoolError, match="is not in FP32"):
        low_graph(tmp_path / "h.onnx", Precision("bf16"), reference)


def test_a_recipe_of_another_network(tmp_path: Path) -> None:
    full, reference = full_graph("dcgan16")
    onnx.save(full, tmp_path / "g.onnx")
    (tmp_path / "r.json").write_text(json.dumps(Recipe("fp16", {"nowhere": "why"}).to_json()))
    with pytest.raises(GantoolError, match=r"does not have \(nowhere"):
        low_graph(tmp_path / "g.onnx", Precision(recipe=tmp_path / "r.json"), reference)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"format": 2}',
        '{"format":1,"low":"fp8","keep_fp32":{},"int8":{}}',
        "null",
        '{"recipe": 3}',
    ],
)
def test_what_is_no_recipe(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(GantoolError, match="holds no recipe of gantool"):
        read_recipe(tmp_path / "r.json")

"""A tiny generator as an ONNX graph, and plans built from it. TensorRT-RTX builds them on any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

LATENT, HEIGHT, WIDTH, CHANNELS = 6, 4, 4, 3


def tiny_graph(
    output: str = "uint8", batch: str | int = "N", channels: int = CHANNELS, latent: int = LATENT
) -> bytes:
    """Return z [N, 6] -> ConvTranspose -> tanh -> images, uint8 [N, 4, 4, 3] or float [N, 3, 4, 4]."""
    weights = np.random.RandomState(0).randn(latent, channels, HEIGHT, WIDTH).astype(np.float32)
    constants = {
        "column": np.array([-1, latent, 1, 1], np.int64),
        "weights": weights,
        "scale": np.float32(127.5),
        "shift": np.float32(128),
        "low": np.float32(0),
        "high": np.float32(255),
    }
    nodes = [
        helper.make_node("Reshape", ["z", "column"], ["x"]),  # [N, 6, 1, 1]
        helper.make_node("ConvTranspose", ["x", "weights"], ["y"]),  # [N, 3, 4, 4]
        helper.make_node("Tanh", ["y"], ["signed" if output == "uint8" else "images"]),
        helper.make_node("Mul", ["signed", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["shifted"]),
        helper.make_node("Clip", ["shifted", "low", "high"], ["levels"]),
        helper.make_node("Transpose", ["levels"], ["last"], perm=[0, 2, 3, 1]),  # [N, 4, 4, 3]
        helper.make_node("Cast", ["last"], ["images"], to=TensorProto.UINT8),
    ]
    if output == "uint8":
        images = helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, HEIGHT, WIDTH, channels])
    else:
        nodes = nodes[:3]
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, channels, HEIGHT, WIDTH])
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch, latent])],
        [images],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def soft_graph() -> bytes:
    """Return a graph whose z moves with the shares of three classes, float32 [N, 3]."""
    model = ModelProto.FromString(tiny_graph())
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info("label", TensorProto.FLOAT, ["N", 3]))
    moves = np.random.RandomState(1).randn(3, LATENT).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(moves, "moves"))
    graph.node[0].input[0] = "moved"
    graph.node.insert(0, helper.make_node("Add", ["z", "move"], ["moved"]))
    graph.node.insert(0, helper.make_node("MatMul", ["label", "moves"], ["move"]))
    return bytes(model.SerializeToString())


def write_graphs(folder: Path) -> Path:
    """Write the graphs rgba.onnx, rgb.onnx and grey.onnx into a folder, and return it."""
    for name, channels in (("rgba", 4), ("rgb", 3), ("grey", 1)):
        (folder / f"{name}.onnx").write_bytes(tiny_graph(channels=channels))
    return folder


def build_plan(trt: Any, graph: bytes, compute_capabilities: tuple[str, ...] = ()) -> bytes:
    """Build a plan for batches of 1 to 4 with `trt`, the module tensorrt or tensorrt_rtx."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(graph)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("z", (1, LATENT), (2, LATENT), (4, LATENT))
    config.add_optimization_profile(profile)
    if compute_capabilities:
        config.num_compute_capabilities = len(compute_capabilities)
        for index, name in enumerate(compute_capabilities):
            assert config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    return bytes(builder.build_serialized_network(network, config))


def some_z(n: int) -> NDArray[np.float32]:
    """Return z [n, 6]."""
    return np.random.RandomState(n).randn(n, LATENT).astype(np.float32)

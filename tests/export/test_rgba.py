"""Transparency in graphs and in comparisons: images are straight RGBA, whoever made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from conftest import run_gantool
from gantool.export.precision.psnr import compare
from gantool.export.verify import verify
from gantool.models import save_checkpoint
from gantool.models.sampling import sample_images
from gantool.runtime import Generator
from gantool.runtime.outputs.images import to_uint8, visible
from helpers.networks import NETWORKS, full_graph, lived_in

SEEDS = range(16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint of four channels, its graph, and its graph in FP16."""
    folder = tmp_path_factory.mktemp("rgba")
    save_checkpoint(folder / "generator.safetensors", lived_in(NETWORKS["rgba"]), 1000, "shapes")
    run_gantool(
        "export", "generator.safetensors", "--fp16", "--engine", "none", "-o", "g", cwd=folder, check=True
    )
    return folder


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_graph_makes_straight_images(made: Path, provider: str) -> None:
    """A network's colours, multiplied by alpha, are divided by it; what is transparent has no colour."""
    if provider == "openvino":
        pytest.importorskip("openvino")
    own = sample_images(lived_in(NETWORKS["rgba"]), SEEDS)
    with Generator.load(made / "g.onnx", provider) as generator:
        assert generator.spec.size == "16×16×4"
        images = generator.images(SEEDS)
    assert compare(own, images).max_difference <= (1 if provider == "cpu" else 8)  # OpenVINO may use BF16
    assert not images[..., :3][images[..., 3] == 0].any()
    assert (images[..., :3].max(-1) > images[..., 3]).any()  # premultiplied colours are never above alpha


def test_files_of_one_generator_agree_where_colours_are_visible(made: Path) -> None:
    """A hidden colour of FP16 may differ by much, a visible one does not."""
    files = [made / "generator.safetensors", made / "g.onnx", made / "g.fp16.onnx"]
    verify(files).check()
    with Generator.load(files[1], "cpu") as full, Generator.load(files[2], "cpu") as half:
        one, two = full.images(SEEDS), half.images(SEEDS)
    assert np.abs(visible(one).astype(int) - visible(two)).max() <= 4


def test_the_division_by_alpha_stays_in_fp32(made: Path) -> None:
    model = onnx.load(made / "g.fp16.onnx")
    shapes = onnx.shape_inference.infer_shapes(model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in shapes}
    (divided,) = [node for node in model.graph.node if node.op_type == "Div"]
    assert types[divided.output[0]] == onnx.TensorProto.FLOAT
    before = {name for node in model.graph.node if node.op_type == "Tanh" for name in node.output}
    assert {types[name] for name in before} == {onnx.TensorProto.FLOAT16}
    recipe = next(entry.value for entry in model.metadata_props if entry.key == "gantool_recipe")
    assert '"keep_fp32": {}' in recipe  # no node is an exception: the tail is FP32 in every recipe


def test_float_graphs_are_straight_too(tmp_path: Path) -> None:
    graph, reference = full_graph("rgba", output="float")
    onnx.save(graph, tmp_path / "g.onnx")
    with Generator.load(tmp_path / "g.onnx", "cpu") as generator:
        images = generator.images(range(64))
    assert compare(reference.images, images).max_difference <= 1


def test_comparisons_ignore_colours_that_nobody_sees() -> None:
    one, two = np.full((1, 4, 4, 4), 200, np.uint8), np.full((1, 4, 4, 4), 200, np.uint8)
    one[..., 3] = two[..., 3] = 0
    two[..., :3] = 0
    assert compare(one, two).max_difference == 0
    one[..., 3] = two[..., 3] = 255
    assert compare(one, two).max_difference == 200
    two[..., :3], two[..., 3] = 200, 0
    assert compare(one, two).max_difference == 255
    rgb = to_uint8(np.zeros((1, 3, 2, 2), np.float32))
    assert visible(rgb) is rgb


def test_a_bundle_carries_transparent_golden_images(made: Path) -> None:
    run_gantool("export", "g.onnx", "--bundle", "b.tar", "--engine", "none", cwd=made, check=True)
    listed = run_gantool("inspect", "b.tar", cwd=made, check=True).stdout
    assert "16×16×4" in listed
    result = run_gantool(
        "export", "b.tar", "--engine", "none", "--triton", "repo/toy", "-o", "b", cwd=made, check=True
    )
    assert "equal" in result.stderr
    assert "dims: [16, 16, 4]" in (made / "repo/toy/config.pbtxt").read_text()

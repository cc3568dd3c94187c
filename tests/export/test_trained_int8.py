"""A generator that was trained with simulated INT8: its graph computes what was trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gantool.export import stages
from gantool.export.artifact import Graph
from gantool.export.engine.build import build
from gantool.export.engine.options import BuildOptions
from gantool.export.options import ExportOptions, Lowering, Precision
from gantool.export.precision.psnr import compare
from gantool.export.stages import Verified
from gantool.models import PRESETS, Generator, NetworkConfig, load_checkpoint, save_checkpoint
from gantool.models.quantize import QuantizedGenerator, quantized
from gantool.models.sampling import config_inputs, sample_images
from gantool.runtime.artifacts.onnx import LIMITS_KEY, with_json
from gantool.runtime.errors import GantoolError
from helpers.logs import logged
from helpers.networks import NETWORKS, lived_in

CONFIGS = {
    **{name: NETWORKS[name] for name in ("dcgan64", "attention", "dcgan5-32", "rgba", "tile")},
    "conditional": replace(NETWORKS["dcgan16"], classes=5),
    "resize": replace(PRESETS["small"], width=8, latent=20),
    "resnet": replace(PRESETS["resnet32"], width=8),
    "r3gan": replace(PRESETS["r3gan32"], width=16),
}
SEEDS = range(16)
INT8 = Precision(int8=True, min_psnr=5)


def trained(config: NetworkConfig) -> QuantizedGenerator:
    """Return a generator with ranges that no calibration finds: narrower ones."""
    found = quantized(lived_in(config), config_inputs(config, range(64)))
    with torch.no_grad():
        found.ranges.sub_(torch.linspace(0.05, 0.3, len(found.ranges)) / 300)
    return found


def exported(
    generator: QuantizedGenerator, folder: Path, options: ExportOptions = ExportOptions()
) -> Verified:
    """Return the FP32 graph of a generator."""
    save_checkpoint(folder / "c", generator, 0, "shapes")
    return stages.from_torch(folder / "c", folder / "g.onnx", options)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_graph_makes_the_images_that_were_trained(name: str, tmp_path: Path) -> None:
    generator = trained(CONFIGS[name])
    full = exported(generator, tmp_path)
    with logged() as said:
        made = stages.reduce_precision(full, INT8, tmp_path / "g")
    assert f"g.onnx was trained in INT8: its {len(generator.limits)} layers keep their ranges" in said
    assert list(made.graph.recipe.int8.values()) == generator.limits
    images = sample_images(generator, SEEDS)
    same = compare(images, made.as_user().images(SEEDS)).psnr
    assert same > 55
    assert same > compare(images, full.as_user().images(SEEDS)).psnr + 10


@pytest.mark.parametrize("lowering", ["subpixel", "phases-stack"])
def test_a_lowered_layer_keeps_its_range(lowering: Lowering, tmp_path: Path) -> None:
    generator = trained(NETWORKS["dcgan64"])
    full = exported(generator, tmp_path, ExportOptions(lowering=lowering))
    made = stages.reduce_precision(full, INT8, tmp_path / "g")
    assert set(made.graph.recipe.int8.values()) == set(generator.limits)
    assert {node.op_type for node in made.model.graph.node} >= {"Conv", "QuantizeLinear"}
    pytest.importorskip("tensorrt_rtx")
    shares = build(made.graph, "rtx", BuildOptions(1, 2, 4)).receipt.shares()
    assert shares == {"INT8": pytest.approx(1)}  # both ends, too


def test_an_fp32_graph_carries_the_ranges_along(tmp_path: Path) -> None:
    generator = trained(NETWORKS["dcgan32"])
    exported(generator, tmp_path).graph.save(tmp_path)
    full = stages.from_graph(Graph.load(tmp_path / "g.onnx"))
    first = next(node.name for node in full.model.graph.node if node.op_type == "Gemm")
    precision = replace(INT8, low="fp16", keep_fp32=(first,))
    made = stages.reduce_precision(full, precision, tmp_path / "g")
    assert list(made.graph.recipe.int8.values()) == generator.limits[1:]
    plain = stages.reduce_precision(full, Precision("fp16"), tmp_path / "g")
    assert "QuantizeLinear" not in {node.op_type for node in plain.model.graph.node}


def test_a_checkpoint_has_weights_alone_and_ranges_as_metadata(tmp_path: Path) -> None:
    generator = trained(NETWORKS["dcgan16"])
    save_checkpoint(tmp_path / "c", generator, 0, "shapes")
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.metadata.int8_limits == tuple(generator.limits)
    assert type(loaded.generator) is Generator
    again = QuantizedGenerator(loaded.generator, loaded.metadata.int8_limits)
    assert np.array_equal(sample_images(again, SEEDS), sample_images(generator, SEEDS))
    save_checkpoint(tmp_path / "plain", loaded.generator, 0, "shapes")
    assert load_checkpoint(tmp_path / "plain").metadata.int8_limits == ()


@pytest.mark.parametrize("limits", [[1.0], [1.0, 1.0, -1.0], ["1"], 3, [float("nan")] * 3])
def test_ranges_that_do_not_fit(limits: object, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", trained(NETWORKS["dcgan16"]), 0, "shapes")
    with safe_open(tmp_path / "c", framework="pt") as file:
        metadata = json.loads(file.metadata()["gantool"])
    text = json.dumps({**metadata, "int8_limits": limits})
    save_file(load_file(tmp_path / "c"), tmp_path / "c", {"gantool": text})
    with pytest.raises(GantoolError, match=r"'int8_limits' is .*, expected (a|positive) number"):
        stages.from_torch(tmp_path / "c", tmp_path / "g.onnx", ExportOptions())


def test_a_graph_with_damaged_ranges(tmp_path: Path) -> None:
    graph = exported(trained(NETWORKS["dcgan16"]), tmp_path).graph
    data = with_json(graph.path, graph.data, LIMITS_KEY, {"node_Gemm_2": "wide"})
    full = stages.from_graph(replace(graph, data=data))
    with pytest.raises(GantoolError, match="'gantool_int8_limits' holds other things than positive numbers"):
        stages.reduce_precision(full, INT8, tmp_path / "g")

"""From a checkpoint to graphs, for every network, in real ONNX Runtime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from gantool.export.convert import fp16_graph, graph_of_checkpoint
from gantool.export.graph import add_uint8_tail
from gantool.export.parity import SEEDS, check_fp32, compare
from gantool.models import PRESETS, Generator, NetworkConfig, load_checkpoint, save_checkpoint
from gantool.runtime import Generator as Runtime
from gantool.runtime import VerificationError
from gantool.runtime.images import to_uint8
from gantool.runtime.seeds import latents

NETWORKS = {
    "dcgan16": replace(PRESETS["dcgan16"], width=8, distribution="uniform"),
    "dcgan28": PRESETS["dcgan28"],
    "dcgan32": replace(PRESETS["dcgan32"], latent=50),
    "dcgan64-rgb": replace(PRESETS["dcgan64"], width=16, channels=3),
    "dcgan128": replace(PRESETS["dcgan128"], width=4),
    "dcgan256": replace(PRESETS["dcgan256"], width=2),
    "dcgan5-32": replace(PRESETS["dcgan5-32"], width=16),
}


def lived_in(config: NetworkConfig) -> Generator:
    """Return a generator whose BatchNorm statistics and weights look trained, so that folding can go wrong."""
    torch.manual_seed(1)
    generator = Generator(config)
    for layer in generator.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.2, 3)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.3)
        elif isinstance(layer, (nn.ConvTranspose2d, nn.Linear)):
            taps = 4 * layer.in_channels if isinstance(layer, nn.ConvTranspose2d) else layer.in_features
            nn.init.normal_(layer.weight, 0, taps**-0.5)
    return generator.eval()


def silent(text: str) -> None:
    """Take the notes of the export."""


@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_of_every_network(name: str, tmp_path: Path) -> None:
    config = NETWORKS[name]
    checkpoint, full, half = tmp_path / "c.safetensors", tmp_path / "g.onnx", tmp_path / "g.fp16.onnx"
    save_checkpoint(checkpoint, lived_in(config), 1000, "shapes")
    reference = graph_of_checkpoint(checkpoint, full, 17, "uint8", "none", silent)
    fp16_graph(full, half, reference, silent)
    with torch.no_grad():
        z = torch.from_numpy(latents(SEEDS, config.latent, config.distribution))
        np.testing.assert_array_equal(reference, to_uint8(load_checkpoint(checkpoint).generator(z).numpy()))
    assert reference.std() > 10  # images, not a grey area

    for path, gate in ((full, 60), (half, 40)):
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert [opset.version for opset in graph.opset_import] == [17]
        (z_in,), (out,) = graph.graph.input, graph.graph.output
        assert (z_in.name, z_in.type.tensor_type.elem_type) == ("z", onnx.TensorProto.FLOAT)
        assert (out.name, out.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
        batch, *rest = [dim.dim_param or dim.dim_value for dim in out.type.tensor_type.shape.dim]
        assert batch == "N"
        assert rest == [config.size, config.size, config.channels]
        operators = [node.op_type for node in graph.graph.node]
        assert "BatchNormalization" not in operators
        assert operators[-5:] == ["Mul", "Add", "Clip", "Transpose", "Cast"]
        metadata = json.loads({entry.key: entry.value for entry in graph.metadata_props}["gantool"])
        assert metadata["config"] == config.to_json()
        assert str(Path.home()) not in str(graph)  # no trace of the machine that exported it
        with Runtime.load(path) as generator:
            assert generator.spec.distribution == config.distribution
            assert compare(reference, generator.images(SEEDS)).psnr > gate

    weights = {weight.data_type for weight in onnx.load(half).graph.initializer if len(weight.dims) > 1}
    assert weights == {onnx.TensorProto.FLOAT16}
    assert half.stat().st_size < 0.55 * full.stat().st_size


def test_a_generator_that_was_never_trained(tmp_path: Path) -> None:
    """Parameters of its BatchNorm are equal tensors, which exporters merge."""
    save_checkpoint(tmp_path / "c", Generator(NETWORKS["dcgan16"]).eval(), 0, "shapes")
    reference = graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", 17, "uint8", "none", silent)
    fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference, silent)


def test_a_graph_of_a_fixed_batch(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")
    reference = graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", 17, "uint8", "none", silent)
    graph = onnx.load(tmp_path / "g.onnx")
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 5
    del graph.graph.value_info[:]
    onnx.save(graph, tmp_path / "fixed.onnx")
    fp16_graph(tmp_path / "fixed.onnx", tmp_path / "h.onnx", reference, silent)


def test_parity_is_the_worst_of_both_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run a little off everywhere, the other far off in one pixel: the far one must not be lost."""
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")
    reference = graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", 17, "uint8", "none", silent)
    far = reference.copy()
    far[0, 0, 0, 0] ^= 8
    everywhere = np.where(reference > 0, reference - 1, 1).astype(np.uint8)
    monkeypatch.setattr(Runtime, "images", lambda *_: far)
    monkeypatch.setattr("gantool.export.parity.run_by_node", lambda _, z: everywhere[: len(z)])
    with pytest.raises(VerificationError, match="largest difference"):
        check_fp32(tmp_path / "g.onnx", reference)


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_newer_opsets(opset: int, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")
    reference = graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", opset, "uint8", "none", silent)
    fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference, silent)
    assert [entry.version for entry in onnx.load(tmp_path / "h.onnx").opset_import] == [opset]


def test_float_output_serves_as_well(tmp_path: Path) -> None:
    config = NETWORKS["dcgan64-rgb"]
    save_checkpoint(tmp_path / "c", lived_in(config), 1, "shapes")
    reference = graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", 17, "float", "none", silent)
    fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference, silent)
    for name in ("g.onnx", "h.onnx"):
        (out,) = onnx.load(tmp_path / name).graph.output
        assert out.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        with Runtime.load(tmp_path / name) as generator:
            assert generator.spec.dtype == "float32"
            assert (generator.spec.height, generator.spec.channels) == (64, 3)
            assert compare(reference, generator.images(SEEDS)).psnr > 40


def scaled(factor: float) -> Generator:
    """Return a generator that is the same in FP32, with one layer's values `factor` times as large."""
    generator = lived_in(NETWORKS["dcgan16"])
    first, last = (layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d))
    norm = next(
        layer
        for layer in generator.layers
        if isinstance(layer, nn.BatchNorm2d) and layer.num_features == first.out_channels
    )
    with torch.no_grad():
        norm.weight *= factor
        norm.bias *= factor
        last.weight /= factor
    return generator


@pytest.mark.parametrize("factor", [1e5, 1e7])
def test_fp16_that_overflows_is_refused(factor: float, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", scaled(factor), 1, "shapes")
    reference = graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", 17, "uint8", "none", silent)
    with pytest.raises(VerificationError, match="Nothing was written"):
        fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference, silent)


def test_a_graph_of_other_weights_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")
    # an export that spoils a weight on the way: only parity can notice
    monkeypatch.setattr(
        "gantool.export.graph.add_uint8_tail", lambda model: (_spoil(model), add_uint8_tail(model))
    )
    with pytest.raises(VerificationError, match="differs from the checkpoint"):
        graph_of_checkpoint(tmp_path / "c", tmp_path / "g.onnx", 17, "uint8", "none", silent)


def _spoil(model: object) -> None:
    import onnx_ir as ir

    assert isinstance(model, ir.Model)
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT:
            value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.1), name=value.name)
            return

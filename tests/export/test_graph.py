"""From a checkpoint to graphs, for every network, in real ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from gantool.export.graph.from_torch import add_tail
from gantool.export.options import ExportOptions, Precision
from gantool.export.precision.parity import SEEDS, Reference, measure, with_worse_parity
from gantool.export.precision.psnr import compare
from gantool.export.precision.simulate import Simulation
from gantool.models import Generator, load_checkpoint, save_checkpoint
from gantool.models.alpha import Straight
from gantool.runtime import Generator as Runtime
from gantool.runtime import VerificationError
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import to_uint8
from helpers.networks import NETWORKS, export_full, full_graph, lived_in, low_graph


def fp16_graph(source: Path, target: Path, reference: Reference) -> None:
    graph, _ = low_graph(source, Precision("fp16"), reference)
    onnx.save(graph, target)


@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_of_every_network(name: str, tmp_path: Path) -> None:
    config = NETWORKS[name]
    checkpoint, full, half = tmp_path / "c.safetensors", tmp_path / "g.onnx", tmp_path / "g.fp16.onnx"
    save_checkpoint(checkpoint, lived_in(config), 1000, "shapes")
    reference = export_full(checkpoint, full, ExportOptions())
    fp16_graph(full, half, reference)
    with torch.no_grad():
        z = torch.from_numpy(latents(SEEDS, config.latent, config.distribution))
        np.testing.assert_array_equal(
            reference.images, to_uint8(Straight(load_checkpoint(checkpoint).generator)(z).numpy())
        )
    assert reference.images.std() > 10  # images, not a grey area

    for path, gate in ((full, 60), (half, 40)):
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert [opset.version for opset in graph.opset_import] == [17]
        (z_in,), (out,) = graph.graph.input, graph.graph.output
        assert (z_in.name, z_in.type.tensor_type.elem_type) == ("z", onnx.TensorProto.FLOAT)
        assert (out.name, out.type.tensor_type.elem_type) == ("images", onnx.TensorProto.UINT8)
        batch, *rest = [dim.dim_param or dim.dim_value for dim in out.type.tensor_type.shape.dim]
        assert batch == "N"
        assert rest == [*config.size, config.channels]
        operators = [node.op_type for node in graph.graph.node]
        assert "BatchNormalization" not in operators
        assert operators[-5:] == ["Mul", "Add", "Clip", "Transpose", "Cast"]
        metadata = json.loads({entry.key: entry.value for entry in graph.metadata_props}["gantool"])
        assert metadata["config"] == config.to_json()
        assert str(Path.home()) not in str(graph)  # no trace of the machine that exported it
        with Runtime.load(path) as generator:
            assert generator.spec.distribution == config.distribution
            assert compare(reference.images, generator.images(SEEDS)).psnr > gate

    weights = {weight.data_type for weight in onnx.load(half).graph.initializer if len(weight.dims) > 1}
    assert weights == {onnx.TensorProto.FLOAT16}
    assert half.stat().st_size < 0.55 * full.stat().st_size


def test_a_generator_that_was_never_trained(tmp_path: Path) -> None:
    """Parameters of its BatchNorm are equal tensors, which exporters merge."""
    save_checkpoint(tmp_path / "c", Generator(NETWORKS["dcgan16"]).eval(), 0, "shapes")
    reference = export_full(tmp_path / "c", tmp_path / "g.onnx", ExportOptions())
    fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference)


def test_a_graph_of_a_fixed_batch(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")
    reference = export_full(tmp_path / "c", tmp_path / "g.onnx", ExportOptions())
    graph = onnx.load(tmp_path / "g.onnx")
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 5
    del graph.graph.value_info[:]
    onnx.save(graph, tmp_path / "fixed.onnx")
    fp16_graph(tmp_path / "fixed.onnx", tmp_path / "h.onnx", reference)


def test_parity_is_the_worst_of_both_runs() -> None:
    """ONNX Runtime a little off everywhere, the device far off in one pixel: the far one must not be lost."""
    graph, reference = full_graph("dcgan16")
    far = reference.images.copy()
    far[0, 0, 0, 0] ^= 8
    report = measure(Simulation(graph), reference)
    assert "largest difference 8" in str(with_worse_parity(report, reference, far).problem("fp32"))
    off = Reference(reference.feeds, far, reference.calibration)
    report = measure(Simulation(graph), off)
    assert "largest difference 8" in str(with_worse_parity(report, off, reference.images).problem("fp32"))


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_newer_opsets(opset: int, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")
    reference = export_full(tmp_path / "c", tmp_path / "g.onnx", ExportOptions(opset=opset))
    fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference)
    assert [entry.version for entry in onnx.load(tmp_path / "h.onnx").opset_import] == [opset]


def test_float_output_serves_as_well(tmp_path: Path) -> None:
    config = NETWORKS["dcgan64"]
    save_checkpoint(tmp_path / "c", lived_in(config), 1, "shapes")
    reference = export_full(tmp_path / "c", tmp_path / "g.onnx", ExportOptions(output="float"))
    fp16_graph(tmp_path / "g.onnx", tmp_path / "h.onnx", reference)
    for name in ("g.onnx", "h.onnx"):
        (out,) = onnx.load(tmp_path / name).graph.output
        assert out.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        with Runtime.load(tmp_path / name) as generator:
            assert generator.spec.dtype == "float32"
            assert (generator.spec.height, generator.spec.channels) == (64, 3)
            assert compare(reference.images, generator.images(SEEDS)).psnr > 40


def test_a_graph_of_other_weights_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["dcgan16"]), 1, "shapes")

    def spoiled(model: onnx.ModelProto, bits: int) -> None:
        _spoil(model)
        add_tail(model, bits)

    # an export that spoils a weight on the way: only parity can notice
    monkeypatch.setattr("gantool.export.graph.from_torch.add_tail", spoiled)
    with pytest.raises(VerificationError, match="does not agree with its reference"):
        export_full(tmp_path / "c", tmp_path / "g.onnx", ExportOptions())


def _spoil(model: object) -> None:
    import onnx_ir as ir

    assert isinstance(model, ir.Model)
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT:
            value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.1), name=value.name)
            return

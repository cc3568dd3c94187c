"""Generators that were not trained here: PyTorch's DCGAN example, any module, float graphs from other tools."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array
from safetensors.torch import save_file
from torch import nn

from conftest import run_gantool
from gantool.runtime import Generator
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import to_uint8
from helpers.networks import enliven


def example(nz: int, ngf: int, nc: int) -> nn.Module:
    """Return the generator of PyTorch's DCGAN example as it names its weights: main.0.weight ..."""
    widths = [nz, ngf * 8, ngf * 4, ngf * 2, ngf]
    layers: list[nn.Module] = []
    for index in range(4):
        step = (1, 0) if index == 0 else (2, 1)
        layers += [nn.ConvTranspose2d(widths[index], widths[index + 1], 4, *step, bias=False)]
        layers += [nn.BatchNorm2d(widths[index + 1]), nn.ReLU(True)]
    layers += [nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh()]
    module = nn.ModuleDict({"main": nn.Sequential(*layers)})
    enliven(module)
    return module.eval()


def images_of(module: nn.Module, seeds: range, latent: int) -> NDArray[np.uint8]:
    with torch.no_grad():
        z = torch.from_numpy(latents(seeds, latent))[:, :, None, None]
        return to_uint8(module(z).numpy())


@pytest.mark.parametrize(("nz", "ngf", "nc", "prefix"), [(100, 8, 3, ""), (7, 4, 1, "module.")])
def test_pytorchs_dcgan_example(nz: int, ngf: int, nc: int, prefix: str, tmp_path: Path) -> None:
    module = example(nz, ngf, nc)
    state = {prefix + name: value for name, value in module.state_dict().items()}
    torch.save(state, tmp_path / "netG_epoch_24.pth")
    command = ["export", "--from", "pytorch-dcgan", "netG_epoch_24.pth", "--fp16", "--engine", "none"]
    result = run_gantool(*command, cwd=tmp_path, check=True)
    assert f"netG_epoch_24.pth: 64×64×{nc}, latent {nz} normal; checked:" in result.stderr
    with Generator.load(tmp_path / "g.onnx") as generator:
        found = generator.images(range(6)).astype(int)
    assert np.abs(found - images_of(module["main"], range(6), nz)).max() <= 1  # type: ignore[index]
    assert read_metadata(tmp_path / "g.fp16.onnx").architecture == "pytorch-dcgan"


def write_module(folder: Path) -> None:
    (folder / "mine.py").write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn

            class Rows(nn.Module):
                def __init__(self, end=nn.Tanh(), noise=0.0):
                    super().__init__()
                    self.dense = nn.Linear(12, 3 * 8 * 8)
                    self.end, self.noise = end, noise
                def forward(self, z):
                    y = self.end(self.dense(z)).reshape(-1, 3, 8, 8)
                    return y + self.noise * torch.randn_like(y)

            class WithLabel(Rows):
                def forward(self, z, label):
                    return super().forward(z + label[:, None].float() / 4)

            class Blind(Rows):
                def forward(self, z, label):
                    return super().forward(z)

            class OwnBatch(Rows):
                def forward(self, z):
                    return super().forward(z - z.mean(0, keepdim=True))

            class Counted(Rows):
                def forward(self, z):
                    return super().forward(z + torch.zeros(len(z), 1))

            def make(): return Rows()
            def counted(): return Counted()
            def with_label(): return WithLabel()
            def blind(): return Blind()
            def own_batch(): return OwnBatch()
            def unbounded(): return Rows(nn.Identity())
            def noisy(): return Rows(noise=0.1)
            def dead():
                module = Rows()
                nn.init.zeros_(module.dense.weight)
                return module
            def no_module(): return 3
            def fails(): raise KeyError("oh")
            """
        )
    )


def test_any_module(tmp_path: Path) -> None:
    write_module(tmp_path)
    weights = {"dense.weight": torch.randn(192, 12), "dense.bias": torch.zeros(192)}
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pth")
    for file in ("w.safetensors", "w.pth"):
        options = ["--weights", file, "--latent", "12", "--engine", "none", "--distribution", "uniform"]
        run_gantool("export", "--from", "mine:make", *options, "-o", file, cwd=tmp_path, check=True)
        with Generator.load(tmp_path / f"{file}.onnx") as generator:
            spec = generator.spec
            assert (spec.latent, spec.height, spec.channels, spec.distribution) == (12, 8, 3, "uniform")
            z = latents(range(3), 12, "uniform")
            expected = np.tanh(z @ weights["dense.weight"].numpy().T).reshape(-1, 3, 8, 8)
            assert np.abs(generator.images(range(3)).astype(int) - to_uint8(expected)).max() <= 1


def test_a_module_that_fixes_its_batch_is_told(tmp_path: Path) -> None:
    write_module(tmp_path)
    for factory, batch in (("counted", 2), ("make", None)):
        flags = ["--from", f"mine:{factory}", "--latent", "12", "--engine", "none", "-o", factory]
        result = run_gantool("export", *flags, cwd=tmp_path, check=True)
        assert ("takes batches of 2 and no other" in result.stderr) == (batch == 2)
        with Generator.load(tmp_path / f"{factory}.onnx", "cpu") as generator:
            assert generator.spec.max_batch == batch


def test_a_conditional_module_to_the_last_image(tmp_path: Path) -> None:
    write_module(tmp_path)
    options = ["--latent", "12", "--classes", "3", "--engine", "none", "--fp16"]
    result = run_gantool("export", "--from", "mine:with_label", *options, cwd=tmp_path, check=True)
    assert "3 classes" in result.stderr
    with Generator.load(tmp_path / "g.fp16.onnx") as generator:
        assert generator.spec.classes == 3
        own, second = generator.images([4, 5]), generator.images([4, 5], label=2)
    assert np.array_equal(own[1], second[1])  # 5 mod 3 is 2
    assert not np.array_equal(own[0], second[0])
    run_gantool("generate", "--engine", "g.onnx", "--seeds", "0-3", "--class", "1", cwd=tmp_path, check=True)
    result = run_gantool("generate", "--engine", "g.onnx", "--class", "3", cwd=tmp_path)
    assert result.returncode == 2
    assert "--class 3: the classes of this engine are 0 to 2" in result.stderr


@pytest.mark.parametrize(
    ("function", "more", "code", "message"),
    [
        ("make", ("--latent", "13"), 1, "Its Linear takes 12: --latent 12"),
        ("make", (), 2, "needs the size of z"),
        ("make", ("--latent", "12", "--weights", "nowhere.pth"), 1, "there is no file nowhere.pth"),
        ("make", ("--latent", "12", "--weights", "mine.py"), 1, "mine.py"),
        (
            "with_label",
            ("--latent", "12"),
            1,
            "forward requires label, too: if that is the label, add --classes",
        ),
        ("blind", ("--latent", "12", "--classes", "2"), 1, "does not depend on the label"),
        ("own_batch", ("--latent", "12"), 1, "gives other images in another batch"),
        ("unbounded", ("--latent", "12"), 1, "add --clamp; otherwise end it with tanh"),
        ("noisy", ("--latent", "12"), 1, "expected [-1, 1]|gives other images for the same z"),
        ("dead", ("--latent", "12"), 1, "gives the same image for every z"),
        ("no_module", ("--latent", "12"), 1, "returned int, expected an nn.Module"),
        ("fails", ("--latent", "12"), 1, "`def fails(): raise KeyError(\"oh\")`: KeyError: 'oh'"),
        ("nowhere", ("--latent", "12"), 1, "mine has no function nowhere; it has Rows, WithLabel"),
    ],
)
def test_what_is_no_generator(
    function: str, more: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    write_module(tmp_path)
    result = run_gantool("export", "--from", f"mine:{function}", *more, "--engine", "none", cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert any(part in result.stderr for part in message.split("|")), result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("g*"))


def test_a_pickle_that_is_more_than_weights_is_not_run(tmp_path: Path) -> None:
    torch.save(example(5, 4, 1), tmp_path / "whole.pth")
    result = run_gantool("export", "--from", "pytorch-dcgan", "whole.pth", cwd=tmp_path)
    assert result.returncode == 1
    assert "is a whole module" in result.stderr


def elsewhere(
    layout: str, columns: bool, opset: int, batch: str | int = "unk__7", label: str | None = None
) -> onnx.ModelProto:
    """Return a generator of 8×8×3 as other tools write it: own names, no node names, any layout."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {
        "w": rng.standard_normal((10, 6, 4, 4)).astype(np.float32) / 3,
        "w2": rng.standard_normal((6, 3, 4, 4)).astype(np.float32) / 5,
        "column": np.array([-1, 10, 1, 1]),
        "classes": rng.standard_normal((4, 10)).astype(np.float32),
        "row": np.array([-1, 10]),
        **{name: rng.uniform(0.5, 1.5, 6).astype(np.float32) for name in ("scale", "bias", "mean", "var")},
    }
    nodes = []
    x = "dense_input:0"
    if label:
        nodes += [
            make_node("Gather", ["classes", "label:0"], ["embedded"]),
            make_node("Reshape", ["embedded", "row"], ["added"]),
            make_node("Add", [x, "added"], ["sum"]),
        ]
        x = "sum"
    if not columns:
        nodes.append(make_node("Reshape", [x, "column"], ["x"]))
        x = "x"
    nodes += [
        make_node("ConvTranspose", [x, "w"], ["a"]),
        make_node("BatchNormalization", ["a", "scale", "bias", "mean", "var"], ["b"]),
        make_node("Relu", ["b"], ["c"]),
        make_node("ConvTranspose", ["c", "w2"], ["d"], strides=[2, 2], pads=[1, 1, 1, 1]),
        make_node("Tanh", ["d"], ["image:0" if layout == "NCHW" else "e"]),
    ]
    if layout == "NHWC":
        nodes.append(make_node("Transpose", ["e"], ["image:0"], perm=[0, 2, 3, 1]))
    inputs = [
        make_tensor_value_info(
            "dense_input:0", onnx.TensorProto.FLOAT, [batch, 10, 1, 1] if columns else [batch, 10]
        )
    ]
    if label:
        kind = onnx.TensorProto.INT32 if label == "int32" else onnx.TensorProto.INT64
        inputs.append(make_tensor_value_info("label:0", kind, [batch, 1]))
    size = [batch, 3, 8, 8] if layout == "NCHW" else [batch, 8, 8, 3]
    used = {name for node in nodes for name in node.input}
    graph = make_graph(
        nodes,
        "tf2onnx",
        inputs,
        [make_tensor_value_info("image:0", onnx.TensorProto.FLOAT, size)],
        [from_array(array, name) for name, array in weights.items() if name in used],
    )
    return make_model(graph, ir_version=7, opset_imports=[make_opsetid("", opset)])


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("columns", "opset", "batch"), [(False, 13, "unk__7"), (True, 11, "b"), (False, 18, 4), (True, 17, "N")]
)
def test_graphs_from_elsewhere(
    layout: str, columns: bool, opset: int, batch: str | int, tmp_path: Path
) -> None:
    import onnxruntime

    onnx.save(elsewhere(layout, columns, opset, batch), tmp_path / "keras.onnx")
    flags = ["--fp16", "--lowering", "subpixel", "-o", "k", "--engine", "none"]
    run_gantool("export", "keras.onnx", *flags, cwd=tmp_path, check=True)
    graph = onnx.load(tmp_path / "k.onnx")
    operators = {node.op_type for node in graph.graph.node}
    assert not operators & {"BatchNormalization", "ConvTranspose"}
    assert all(node.name for node in graph.graph.node)
    assert "ai.onnx.ml" not in {entry.domain for entry in graph.opset_import}
    with Generator.load(tmp_path / "k.fp16.onnx") as generator:
        assert (generator.spec.latent, generator.spec.height, generator.spec.channels) == (10, 8, 3)
        assert generator.spec.max_batch == (4 if batch == 4 else None)
        found = generator.images(range(4)).astype(int)
    z = latents(range(4), 10).reshape((4, 10, 1, 1) if columns else (4, 10))
    (floats,) = onnxruntime.InferenceSession(tmp_path / "keras.onnx").run(None, {"dense_input:0": z})
    floats = floats if layout == "NCHW" else floats.transpose(0, 3, 1, 2)
    assert np.abs(found - to_uint8(np.ascontiguousarray(floats))).max() <= 2


def test_the_lowest_double_as_a_mask(tmp_path: Path) -> None:
    """As infinity in float32, it would be NaN where it is multiplied by 0."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.standard_normal((10, 192)),
        "mask": np.full(192, np.finfo(np.float64).min),
        "size": np.array([-1, 3, 8, 8]),
    }
    nodes = [
        make_node("MatMul", ["z", "w"], ["a"]),
        make_node("Sub", ["a", "a"], ["nothing"]),
        make_node("Mul", ["nothing", "mask"], ["masked"]),
        make_node("Add", ["a", "masked"], ["b"]),
        make_node("Tanh", ["b"], ["c"]),
        make_node("Reshape", ["c", "size"], ["images"]),
    ]
    graph = make_graph(
        nodes,
        "masked",
        [make_tensor_value_info("z", onnx.TensorProto.DOUBLE, ["N", 10])],
        [make_tensor_value_info("images", onnx.TensorProto.DOUBLE, ["N", 3, 8, 8])],
        [from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)]), tmp_path / "m.onnx")
    result = run_gantool("export", "m.onnx", "--engine", "none", cwd=tmp_path, check=True)
    assert "Warning" not in result.stderr
    with Generator.load(tmp_path / "g.onnx", "cpu") as generator:
        found = generator.images(range(4)).astype(int)
    expected = np.tanh(latents(range(4), 10) @ weights["w"]).reshape(-1, 3, 8, 8).astype(np.float32)
    assert np.abs(found - to_uint8(expected)).max() <= 1


@pytest.mark.parametrize("label", ["int32", "int64"])
def test_a_conditional_graph_from_elsewhere(label: str, tmp_path: Path) -> None:
    onnx.save(elsewhere("NHWC", False, 13, label=label), tmp_path / "keras.onnx")
    result = run_gantool("export", "keras.onnx", "-o", "k", "--engine", "none", cwd=tmp_path)
    assert result.returncode == 1
    assert "give --classes" in result.stderr
    flags = ["-o", "k", "--engine", "none", "--classes", "4"]
    run_gantool("export", "keras.onnx", *flags, cwd=tmp_path, check=True)
    with Generator.load(tmp_path / "k.onnx") as generator:
        assert generator.spec.classes == 4
        assert not np.array_equal(generator.images([0], label=1), generator.images([0], label=2))


def test_a_graph_from_elsewhere_needs_no_torch(tmp_path: Path) -> None:
    onnx.save(elsewhere("NHWC", True, 13), tmp_path / "keras.onnx")
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/torch.py").write_text("raise ImportError('blocked')")
    flags = ["export", "keras.onnx", "--int8", "--int8-ends", "--engine", "none", "-o", "k"]
    run_gantool(*flags, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "blocked")}, check=True)
    assert (tmp_path / "k.int8.onnx").exists()


def changed(kind: str) -> onnx.ModelProto:
    """Return a graph from elsewhere that does not behave as a generator."""
    model = elsewhere("NCHW", False, 17)
    nodes = model.graph.node
    if kind == "sigmoid":
        nodes[-1].op_type = "Sigmoid"
        return model
    if kind == "unknown operator":
        nodes[-1].op_type = "Foo"
        return model
    if kind == "batch of one inside":
        (column,) = (weight for weight in model.graph.initializer if weight.name == "column")
        column.CopyFrom(from_array(np.array([1, 10, 1, 1]), "column"))
        return model
    nodes[-1].input[0] = "spoilt"
    if kind == "noise":
        nodes.insert(len(nodes) - 1, make_node("RandomNormalLike", ["d"], ["other"]))
    else:  # the mean of the batch
        nodes.insert(len(nodes) - 1, make_node("ReduceMean", ["d"], ["other"], axes=[0], keepdims=1))
    nodes.insert(len(nodes) - 1, make_node("Sub", ["d", "other"], ["spoilt"]))
    return model


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("sigmoid", "if they are in [0, 1], as a sigmoid gives them, add --range 0,1"),
        ("noise", "gives other images for the same z"),
        ("mean", "gives other images in another batch"),
        ("unknown operator", "does not load odd.onnx|is damaged"),
        ("batch of one inside", "with a dynamic batch if one is fixed inside"),
    ],
)
def test_graphs_that_do_not_behave(kind: str, message: str, tmp_path: Path) -> None:
    onnx.save(changed(kind), tmp_path / "odd.onnx")
    result = run_gantool("export", "odd.onnx", "--engine", "none", "-o", "k", cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert any(part in result.stderr for part in message.split("|")), result.stderr
    assert not list(tmp_path.glob("k*"))


def test_more_classes_than_a_graph_has(tmp_path: Path) -> None:
    onnx.save(elsewhere("NHWC", False, 13, label="int64"), tmp_path / "keras.onnx")
    result = run_gantool("export", "keras.onnx", "--classes", "50", "--engine", "none", cwd=tmp_path)
    assert (result.returncode, "--classes must be its number of classes" in result.stderr) == (1, True)


def test_bf16_of_an_old_graph(tmp_path: Path) -> None:
    onnx.save(elsewhere("NCHW", False, 13), tmp_path / "old.onnx")
    flags = ["--bf16", "--lowering", "subpixel", "--engine", "rtx", "-o", "k"]
    run_gantool("export", "old.onnx", *flags, cwd=tmp_path, check=True)
    assert onnx.load(tmp_path / "k.bf16.onnx").opset_import[0].version == 22


@pytest.mark.parametrize(
    "flags", [("--classes", "7"), ("--distribution", "uniform"), ("--latent", "3"), ("--weights", "x.pth")]
)
def test_flags_for_other_sources_are_not_dropped(
    flags: tuple[str, ...], checkpoint: Path, tmp_path: Path
) -> None:
    result = run_gantool("export", checkpoint, *flags, cwd=tmp_path)
    assert (result.returncode, "--from" in result.stderr) == (2, True)
    if flags[0] in ("--latent", "--weights"):
        onnx.save(elsewhere("NHWC", False, 13), tmp_path / "keras.onnx")
        result = run_gantool("export", "keras.onnx", *flags, cwd=tmp_path)
        answer = {"--latent": "leave out --latent", "--weights": "--weights needs --from"}[flags[0]]
        assert (result.returncode, answer in result.stderr) == (2, True)


def test_a_graph_that_is_no_generator(tmp_path: Path) -> None:
    node = make_node("Relu", ["x"], ["y"])
    values = [make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    graph = make_graph([node], "g", values[:1], values[1:])
    model = make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)])
    onnx.save(model, tmp_path / "relu.onnx")
    result = run_gantool("export", "relu.onnx", "--fp16", cwd=tmp_path)
    assert result.returncode == 1
    assert "and one float output with images" in result.stderr
    bounded = elsewhere("NCHW", False, 17)
    bounded.graph.node[-1].op_type = "Relu"
    onnx.save(bounded, tmp_path / "relu.onnx")
    result = run_gantool("export", "relu.onnx", "--fp16", cwd=tmp_path)
    assert result.returncode == 1
    assert "add --clamp; otherwise end it with tanh" in result.stderr

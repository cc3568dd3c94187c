"""`gantool export --soft-labels`: the label is the shares of the classes, so that classes mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gantool.export.engine.options import BuildOptions
from gantool.export.options import ExportOptions, Foreign, Lowering, Precision
from gantool.export.pipeline import export
from gantool.models import PRESETS, save_checkpoint
from gantool.models import Generator as Network
from gantool.runtime import Generator
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.signature import Tensor as Described
from gantool.runtime.spec import Images
from helpers.networks import CLASSES, Conditional, lived_in, make_conditional

CONFIG = replace(PRESETS["dcgan16"], width=8, latent=20, classes=CLASSES)


class Norms(nn.Module):
    """z [N, 20] and label [N] -> images [N, 1, 8, 8]; each layer has an embedding, as BigGAN's norms have."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 64), nn.Linear(64, 64)
        self.scale, self.shift = nn.Embedding(CLASSES, 64), nn.Embedding(CLASSES, 64)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = torch.relu(self.first(z) * (1 + self.scale(label)) + self.shift(label))
        return torch.tanh(self.second(x)).view(-1, 1, 8, 8)


class OneHot(nn.Module):
    """z [N, 20] and a one-hot label [N, 5] -> images [N, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20 + CLASSES, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.cat([z, label], 1))
        return images


class Number(nn.Module):
    """z [N, 20] and label [N] -> images [N, 1, 8, 8]; the number of a class is a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        images: Tensor = self.layers(z * (1 + label[:, None].float()))
        return images


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make()


def make_own() -> nn.Module:
    return _seeded(lambda: lived_in(CONFIG))


def make_norms() -> nn.Module:
    return _seeded(Norms)


def make_one_hot() -> nn.Module:
    return _seeded(OneHot)


def make_number() -> nn.Module:
    return _seeded(Number)


def of_own(network: nn.Module, z: Tensor, shares: Tensor) -> Tensor:
    assert isinstance(network, Network)
    images: Tensor = network.layers(torch.cat([z, shares @ network.embedding.weight], 1))
    return images


def of_conditional(module: nn.Module, z: Tensor, shares: Tensor) -> Tensor:
    assert isinstance(module, Conditional)
    column = torch.cat([z, shares @ module.embedding.weight], 1)[:, :, None, None]
    images: Tensor = module.layers(column)
    return images


def of_norms(module: nn.Module, z: Tensor, shares: Tensor) -> Tensor:
    assert isinstance(module, Norms)
    scale, shift = shares @ module.scale.weight, shares @ module.shift.weight
    return torch.tanh(module.second(torch.relu(module.first(z) * (1 + scale) + shift))).view(-1, 1, 8, 8)


def of_one_hot(module: nn.Module, z: Tensor, shares: Tensor) -> Tensor:
    images: Tensor = module(z, shares)
    return images


# module, and its images by a mix of embeddings
KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor, Tensor], Tensor]]] = {
    "own": (make_own, of_own),
    "conditional": (make_conditional, of_conditional),
    "norms": (make_norms, of_norms),
    "one_hot": (make_one_hot, of_one_hot),
}


def options(kind: str, base: Path, **more: object) -> ExportOptions:
    where = "helpers.networks" if kind == "conditional" else __name__
    foreign = Foreign(f"{where}:make_{kind}", latent=20, classes=CLASSES)
    known = {"base": base, "engine": "none", "foreign": Foreign() if kind == "own" else foreign}
    return ExportOptions(**{**known, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("soft")
    own = make_own()
    assert isinstance(own, Network)
    save_checkpoint(made / "own", own, 1000, "shapes")
    return made


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Generator, Generator]:
    """Return a kind of generator, its engine with numbers and its engine with soft labels."""
    kind = str(request.param)
    source = folder / "own" if kind == "own" else None
    export(source, options(kind, folder / f"{kind}-hard"))
    export(source, options(kind, folder / f"{kind}-soft", soft_labels=True))
    hard, soft = (Generator.load(folder / f"{kind}-{name}.onnx", "cpu") for name in ("hard", "soft"))
    return kind, hard, soft


def most(one: Images, other: Images) -> int:
    return int(np.abs(one.astype(int) - other).max())


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, CLASSES - 1)), min_size=1, max_size=6))
def test_one_hot_is_the_number(pair: tuple[str, Generator, Generator], asked: list[tuple[int, int]]) -> None:
    _, hard, soft = pair
    seeds, classes = [seed for seed, _ in asked], [number for _, number in asked]
    images = hard.images(seeds, label=classes)
    for label in (classes, np.eye(CLASSES)[classes]):
        assert most(soft.images(seeds, label=label), images) <= 1


def test_a_mix_is_what_torch_makes_of_the_mixed_embedding(pair: tuple[str, Generator, Generator]) -> None:
    kind, hard, soft = pair
    make, mixed = KINDS[kind]
    seeds, module = range(8), make().eval()
    for shares in ([0.5, 0.5, 0, 0, 0], [0.2, 0.1, 0.3, 0, 0.4], [1.5, 0, -0.5, 0, 0]):
        with torch.no_grad():
            rows = torch.tensor(shares).repeat(8, 1)
            expected = to_uint8(mixed(module, torch.from_numpy(soft.z(seeds)), rows).numpy())
        images = soft.images(seeds, label=shares)
        assert most(images, expected) <= 1
        for number in range(CLASSES):
            assert most(images, hard.images(seeds, label=number)) > 8


def test_what_the_engine_says(pair: tuple[str, Generator, Generator]) -> None:
    _, hard, soft = pair
    assert (hard.spec.soft_labels, soft.spec.soft_labels) == (False, True)
    assert replace(soft.spec, soft_labels=False) == hard.spec
    with pytest.raises(UsageError, match="gantool export --soft-labels"):
        hard.images([0], label=[[0.5, 0.5, 0, 0, 0]])


@pytest.mark.parametrize("lowering", ["subpixel", "phases-stack", "cpu", "dla-onehot"])
def test_a_lowering_in_int8_keeps_the_mix_out_of_int8(
    folder: Path, tmp_path: Path, lowering: Lowering
) -> None:
    precision = Precision("fp16", int8=True, int8_ends=True, min_psnr=20)
    base = tmp_path / "g"
    made = export(
        folder / "own", options("own", base, soft_labels=True, lowering=lowering, precision=precision)
    )
    assert made.graph.recipe.int8
    assert not [name for name in made.graph.recipe.int8 if name.startswith("label")]
    mix = np.full(CLASSES, 1 / CLASSES)
    with Generator.load(tmp_path / "g.onnx", "cpu") as full, made.graph.generator() as low:
        assert (
            np.abs(full.images(range(9), label=mix).astype(int) - low.images(range(9), label=mix)).mean() < 9
        )


def test_engine_bundle_and_triton(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    more = {"engine": "rtx", "soft_labels": True, "precision": Precision("fp16")}
    packed = {"bundle": tmp_path / "g.tar", "triton": tmp_path / "models/g"}
    made = export(folder / "own", options("own", tmp_path / "g", **more, **packed), BuildOptions(max_batch=8))
    sidecar = read_sidecar(tmp_path / "g.rtx.plan")
    assert sidecar is not None
    assert Described("label", "input", "float32", (None, CLASSES)) in sidecar.tensors
    assert made.engine is not None
    config = (tmp_path / "models/g/config.pbtxt").read_text()
    assert f'input {{ name: "label" data_type: TYPE_FP32 dims: [{CLASSES}] }}' in config
    unpacked = export(tmp_path / "g.tar", ExportOptions(base=tmp_path / "h", engine="none"))
    assert unpacked.graph.generator().spec.soft_labels


@pytest.mark.filterwarnings("ignore:# The axis name")  # torch names the batch of both inputs alike
@pytest.mark.parametrize("one_hot", [True, False])
def test_a_graph_from_elsewhere(tmp_path: Path, one_hot: bool) -> None:
    module = (make_one_hot() if one_hot else make_norms()).eval()
    label = torch.eye(CLASSES)[:2] if one_hot else torch.tensor([0, 1])
    batch = torch.export.Dim("n")
    torch.onnx.export(
        module,
        (torch.zeros(2, 20), label),
        tmp_path / "theirs.onnx",
        input_names=["z", "y"],
        dynamic_shapes=({0: batch}, {0: batch}),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    foreign = Foreign(classes=CLASSES)
    export(tmp_path / "theirs.onnx", options("own", tmp_path / "g", foreign=foreign, soft_labels=True))
    shares = [0.5, 0, 0.25, 0.25, 0]
    with Generator.load(tmp_path / "g.onnx", "cpu") as soft, torch.no_grad():
        mixed = of_one_hot if one_hot else of_norms
        images = mixed(module, torch.from_numpy(soft.z(range(4))), torch.tensor(shares).repeat(4, 1))
        assert most(soft.images(range(4), label=shares), to_uint8(images.numpy())) <= 1


def test_what_cannot_mix_classes_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match="`soft_labels` needs a generator that embeds its label") as caught:
        export(None, options("number", tmp_path / "g", soft_labels=True))
    assert "computes with the number of a class" in str(caught.value)
    save_checkpoint(tmp_path / "plain", lived_in(replace(CONFIG, classes=0)), 1000, "shapes")
    with pytest.raises(UsageError, match="`soft_labels` is for conditional generators"):
        export(tmp_path / "plain", options("own", tmp_path / "g", soft_labels=True))
    export(folder / "own", options("own", tmp_path / "h"))
    with pytest.raises(UsageError, match="`soft_labels`, .* are fixed in"):
        export(
            tmp_path / "h.onnx", options("own", tmp_path / "i", soft_labels=True, precision=Precision("fp16"))
        )
    assert not (tmp_path / "g.onnx").exists()

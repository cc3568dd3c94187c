"""Generators that look trained, of every kind, and their graphs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal
from unittest.mock import patch

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from gantool.export import stages
from gantool.export.artifact import Graph
from gantool.export.options import ExportOptions, Foreign, Lowering, Precision
from gantool.export.precision.parity import Reference
from gantool.export.precision.sensitivity import apply_recipe
from gantool.export.stages import Verified
from gantool.models import PRESETS, Generator, NetworkConfig, Size, save_checkpoint
from gantool.models.attention import SelfAttention
from gantool.runtime.artifacts.recipe import Recipe
from helpers.once import once

NETWORKS = {
    "dcgan16": replace(PRESETS["dcgan16"], width=8, distribution="uniform"),
    "dcgan28": replace(PRESETS["dcgan28"], width=16, distribution="truncated"),
    "dcgan32": replace(PRESETS["dcgan32"], width=16, latent=50),
    "dcgan64": replace(PRESETS["dcgan64"], width=8, channels=3),
    "dcgan128": replace(PRESETS["dcgan128"], width=4),
    "dcgan256": replace(PRESETS["dcgan256"], width=2),
    "attention": replace(PRESETS["dcgan32"], width=16, attention=8),
    "dcgan5-32": replace(PRESETS["dcgan5-32"], width=8),
    "rgba": replace(PRESETS["dcgan16"], width=8, channels=4),
    "tile": replace(PRESETS["dcgan32"], width=8, size=Size(48, 32), tile=True),
}
CLASSES = 5


def lived_in(config: NetworkConfig) -> Generator:
    """Return a generator whose BatchNorm statistics and weights look trained, so that folding can go wrong."""
    generator = Generator(config)
    enliven(generator)
    return generator.eval()


def enliven(module: nn.Module) -> None:
    """Give layers weights that keep the size of their input, and BatchNorm statistics that are not 0 and 1."""
    torch.manual_seed(1)
    for layer in module.modules():
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
        elif isinstance(layer, SelfAttention):
            nn.init.ones_(layer.gamma)
            for part in (
                layer.query,
                layer.key,
                layer.value,
                layer.out,
            ):  # pixels that look at some, not at all
                nn.init.normal_(part.weight, 0, part.in_channels**-0.5)


class Conditional(nn.Module):
    """z [N, 20, 1, 1] and label [N] -> images [N, 3, 32, 32]: an embedding beside z, as cGAN scripts have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 20)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(40, 32, 4, 1, 0, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(True),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        column = self.embedding(label)[:, :, None, None]
        images: Tensor = self.layers(torch.cat([z, column], 1))
        return images


def make_conditional() -> nn.Module:
    """Return a conditional generator, as `--from package.module:function` calls it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # every process has the same one: its graph is shared
        module = Conditional()
    enliven(module)
    return module


class Sprites(nn.Module):
    """z [N, 12] -> straight RGBA [N, 4, 24, 16]: neither square nor opaque."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(12, 16 * 6 * 4),
            nn.Unflatten(1, (16, 6, 4)),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.layers(z)
        return images


def make_sprites() -> nn.Module:
    """Return a generator of RGBA, as `--from package.module:function` calls it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Sprites()
    enliven(module)
    return module


FOREIGN = {
    "conditional": Foreign(f"{__name__}:make_conditional", latent=20, classes=CLASSES),
    "sprites": Foreign(f"{__name__}:make_sprites", latent=12),
}


@cache
def full_graph(
    name: str, opset: int = 17, lowering: Lowering = "none", output: Literal["uint8", "float"] = "uint8"
) -> tuple[onnx.ModelProto, Reference]:
    """Return the FP32 graph of a network or of one of FOREIGN, and the images of PyTorch."""

    def make(path: Path) -> None:
        made = _full_graph(name, opset, lowering, output)
        path.write_bytes(pickle.dumps((made.model.SerializeToString(), made.reference)))

    path = once(f"graph-{name}-{opset}-{lowering}-{output}", make)
    model, reference = pickle.loads(path.read_bytes())
    return onnx.load_from_string(model), reference


def _full_graph(name: str, opset: int, lowering: Lowering, output: Literal["uint8", "float"]) -> Verified:
    with TemporaryDirectory() as folder:
        source: Path | None = Path(folder) / "c"
        foreign = Foreign()
        if name in FOREIGN:
            source, foreign = None, FOREIGN[name]
        else:
            save_checkpoint(Path(folder) / "c", lived_in(NETWORKS[name]), 1000, "shapes")
        target = Path(folder) / "g.onnx"
        options = ExportOptions(opset=opset, lowering=lowering, output=output, foreign=foreign)
        with patch("torch.onnx.export", _traced_once(name)):
            return stages.from_torch(source, target, options)


def _traced_once(name: str) -> Callable[..., SimpleNamespace]:
    """Return what stands in for torch.onnx.export: a network is traced once, and then lowered in several ways."""
    export = torch.onnx.export

    def traced(*arguments: Any, **options: Any) -> SimpleNamespace:
        def make(path: Path) -> None:
            program = export(*arguments, **options)
            assert program is not None
            onnx.save(ir.to_proto(program.model), path)

        path = once(f"traced-{name}-{options['opset_version']}", make)
        return SimpleNamespace(model=ir.from_proto(onnx.load(path)))

    return traced


def export_full(source: Path | None, target: Path, options: ExportOptions) -> Reference:
    """Write the FP32 graph of a checkpoint; return the images of PyTorch."""
    made = stages.from_torch(source, target, options)
    made.graph.save(target.parent)
    return made.reference


def low_graph(path: Path, precision: Precision, reference: Reference) -> tuple[onnx.ModelProto, str]:
    """Return the FP32 graph `path` in a lower precision, proved against `reference`, and which precision."""
    full = replace(stages.from_graph(Graph.load(path)), reference=reference)
    made = stages.reduce_precision(full, precision, path.with_suffix(""))
    return made.model, made.graph.recipe.precision


def in_fp16(full: onnx.ModelProto) -> onnx.ModelProto:
    """Return an FP32 graph in FP16, without exceptions."""
    return apply_recipe(full, Recipe("fp16"))

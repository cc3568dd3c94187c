"""Make the bundles of `gantool doctor --selftest`: tiny generators of random weights, and the images of each.

They lie in the wheel, so that a device needs neither torch nor onnx to test itself. Run by `make golden`, after a
change of what a bundle or a graph is; a test holds them against what the export makes of the same generators.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
from torch import Tensor, nn

from gantool import models
from gantool.export.engine.options import BuildOptions
from gantool.export.options import ExportOptions, Foreign, Precision
from gantool.export.pipeline import export
from gantool.models import NetworkConfig, save_checkpoint
from gantool.models.config import Size

LATENT, WIDTH, CLASSES = 16, 4, 5
Module = TypeVar("Module", bound=nn.Module)
PRECISIONS = {"fp32": Precision(), "fp16": Precision("fp16"), "int8": Precision(int8=True)}


class Generator(nn.Module):
    """z [N, 16], or z and label [N], to images [N, 3, 16, 16]; the layers of a DCGAN."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, LATENT) if classes else None
        layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, 4 * WIDTH, 4, 1, 0, bias=False)]
        for channels in (4 * WIDTH, 2 * WIDTH):
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False)]
        layers[-1] = nn.ConvTranspose2d(2 * WIDTH, 3, 4, 2, 1)
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if label is not None and self.embedding is not None:
            z = z + 2 * self.embedding(label)  # [N, 16]
        images: Tensor = self.layers(z[:, :, None, None])  # [N, 3, 16, 16]
        return images


def make() -> Generator:
    """Return the same generator on every machine, with statistics that are worth folding."""
    return _seeded(Generator())


def make_conditional() -> Generator:
    """Return one that takes a label."""
    return _seeded(Generator(CLASSES))


def save_rgba(path: Path) -> None:
    """Write a checkpoint of four channels: its graph ends with the division by alpha."""
    config = NetworkConfig(size=Size(16, 16), channels=4, latent=LATENT, width=WIDTH)
    generator = _seeded(models.Generator(config))
    last = [layer for layer in generator.modules() if isinstance(layer, nn.ConvTranspose2d)][-1]
    assert last.bias is not None
    with (
        torch.no_grad()
    ):  # some pixels are opaque, some transparent, and colours of both are neither black nor white
        last.weight *= 4
        last.bias.copy_(torch.tensor([-0.5, -0.5, -0.5, 0.5]))
    save_checkpoint(path, generator, 0, "golden")


def _seeded(generator: Module) -> Module:
    stream = torch.Generator().manual_seed(0)
    for name, value in generator.state_dict().items():
        if value.is_floating_point():
            low, high = (0.5, 1.5) if name.endswith("running_var") else (-0.5, 0.5)
            value.uniform_(low, high, generator=stream)
    return generator.eval()


def write(folder: Path) -> None:
    """Write fp32.tar, fp16.tar, int8.tar, conditional.tar and rgba.tar."""
    sys.path.insert(0, str(Path(__file__).parent))
    kinds = {name: (precision, "make", 0) for name, precision in PRECISIONS.items()}
    kinds["conditional"] = (PRECISIONS["fp16"], "make_conditional", CLASSES)
    with TemporaryDirectory() as scratch:
        for name, (precision, function, classes) in kinds.items():
            options = ExportOptions(
                Path(scratch) / name,
                "none",
                precision=precision,
                foreign=Foreign(f"golden:{function}", latent=LATENT, classes=classes),
                bundle=folder / f"{name}.tar",
            )
            export(None, options, BuildOptions())
        save_rgba(Path(scratch) / "c")
        options = ExportOptions(
            Path(scratch) / "rgba", "none", precision=PRECISIONS["fp16"], bundle=folder / "rgba.tar"
        )
        export(Path(scratch) / "c", options, BuildOptions())


if __name__ == "__main__":
    write(Path(__file__).parents[2] / "export/doctor/golden")

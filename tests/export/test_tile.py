"""Seamless textures in exported graphs: no lowering knows an edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn

from gantool.export.options import ExportOptions, Lowering
from gantool.export.stages import from_torch
from gantool.models import Generator, NetworkConfig, Size, save_checkpoint
from gantool.runtime.latents import latents
from gantool.runtime.spec import Images
from helpers.networks import lived_in

CONFIG = NetworkConfig(size=Size(48, 32), channels=3, latent=8, width=4, tile=True)
SEEDS = range(4)


def images_of(generator: Generator, lowering: Lowering, folder: Path) -> Images:
    """Return the images of an exported graph, uint8 [4, 48, 32, 3]."""
    save_checkpoint(folder / "c", generator, 0, "shapes")
    made = from_torch(folder / "c", folder / "g.onnx", ExportOptions(lowering=lowering))
    proto = ir.to_proto(made.model) if isinstance(made.model, ir.Model) else made.model
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 17)]
    assert "Pad" not in {node.op_type for node in proto.graph.node}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (images,) = session.run(None, {"z": latents(SEEDS, CONFIG.latent)})
    return np.asarray(images, np.uint8)


@pytest.mark.parametrize("lowering", ["none", "phases"])  # test_lowering.py compares the others with none
def test_a_rolled_first_layer_rolls_the_images(lowering: Lowering, tmp_path: Path) -> None:
    """Of a generator whose first matrix has its cells moved by one, all images are moved by 2^3 pixels."""
    generator = lived_in(CONFIG)
    images = images_of(generator, lowering, tmp_path)
    first = generator.layers[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        cells = first.weight.reshape(-1, *CONFIG.first, CONFIG.latent)  # [C, h, w, L]
        first.weight.copy_(cells.roll((1, -1), (1, 2)).reshape(first.weight.shape))
    moved = images_of(generator, lowering, tmp_path)
    assert images.std() > 10
    assert np.abs(moved.astype(int) - np.roll(images, (8, -8), (1, 2))).max() <= 1

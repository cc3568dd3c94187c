"""Seamless textures: the right edge of an image meets its left, the bottom its top."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gantool.models import Discriminator, Generator, NetworkConfig, Size, config_from_json
from gantool.models.tile import Wrap
from helpers.networks import lived_in

KINDS: dict[str, dict[str, Any]] = {
    "dcgan": {"size": Size(64, 32)},
    "dcgan28": {"size": Size(28, 28)},
    "resize": {"size": Size(48, 32), "upsampling": "resize"},
    "dcgan5": {"architecture": "dcgan5"},
    "resnet": {"architecture": "resnet"},
    "r3gan": {"architecture": "r3gan", "width": 16},
}


def config_of(kind: str, **more: Any) -> NetworkConfig:
    return NetworkConfig(**{"width": 4, "latent": 6, "tile": True, **KINDS[kind], **more})


def from_first(generator: Generator) -> nn.Sequential:
    """Return the layers from the activation of the first layer, [N, C, h, w], to the images."""
    (place,) = (index for index, layer in enumerate(generator.layers) if isinstance(layer, nn.Unflatten))
    layers = generator.layers[place + 1 :]
    assert isinstance(layers, nn.Sequential)
    return layers


@pytest.mark.parametrize("kind", KINDS)
def test_the_images_of_a_rolled_first_layer_are_rolled(kind: str) -> None:
    """By one cell of the first layer, which is 2^doublings pixels: no edge is known to the network."""
    generator = lived_in(config_of(kind))
    config = generator.config
    layers = from_first(generator)
    channels = next(layer for layer in generator.layers if isinstance(layer, nn.Unflatten)).unflattened_size[
        0
    ]
    assert isinstance(channels, int)
    with torch.no_grad():
        x = torch.randn(2, channels, *config.first)
        cell = 1 << config.doublings
        images = layers(x)
        assert images.shape[2:] == config.size
        scale = images.std()
        rolled = layers(x.roll((1, -1), (2, 3)))
        torch.testing.assert_close(
            rolled / scale, images.roll((cell, -cell), (2, 3)) / scale, atol=1e-4, rtol=1e-4
        )
        open_ended = lived_in(config_of(kind, tile=False))
        images = from_first(open_ended)(x)
        rolled = from_first(open_ended)(x.roll(1, 3))
        assert (rolled - images.roll(cell, 3)).abs().max() > 0.1 * images.std()


@pytest.mark.parametrize("downsampling", ["strides", "pooling"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_discriminator_sees_no_edge(kind: str, downsampling: Any) -> None:
    """Its last activation rolls with the image."""
    torch.manual_seed(0)
    discriminator = Discriminator(config_of(kind, downsampling=downsampling, channels=3)).eval()
    config = discriminator.config
    layers = discriminator.layers[:-2]  # without Flatten and Linear
    images = torch.rand(2, 3, *config.size) * 2 - 1
    cell = 1 << config.doublings
    with torch.no_grad():
        last = layers(images)  # [N, C, h, w]
        assert last.shape[2:] == config.first
        rolled = layers(images.roll((cell, 2 * cell), (2, 3)))
    torch.testing.assert_close(rolled, last.roll((1, 2), (2, 3)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pad", [1, 2])
def test_wrapping_is_circular_padding(pad: int) -> None:
    """As torch pads itself."""
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(Wrap(pad)(x), nn.functional.pad(x, (pad,) * 4, mode="circular"))


def test_networks_without_tile_are_those_of_before() -> None:
    """Names and shapes of the weights are the same, and so is the JSON, which an earlier version reads too."""
    assert "tile" not in NetworkConfig().to_json()
    tiled = NetworkConfig(tile=True)
    assert config_from_json(tiled.to_json()) == tiled
    assert config_from_json(NetworkConfig().to_json()) == NetworkConfig()
    with pytest.raises(ValueError, match="tile"):
        config_from_json({**tiled.to_json(), "tile": 1})

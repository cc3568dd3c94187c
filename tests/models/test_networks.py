from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gantool.models import (
    PRESETS,
    SIZES,
    Discriminator,
    Generator,
    NetworkConfig,
    Size,
    config_from_json,
    square,
)
from gantool.models.attention import SelfAttention
from gantool.models.config import parse_size
from gantool.runtime.errors import UsageError


@pytest.mark.parametrize("downsampling", ["strides", "pooling"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        *product(
            ("dcgan", "resnet", "r3gan"), (*map(square, SIZES), Size(96, 64), Size(24, 40), Size(64, 16))
        ),
        ("dcgan5", square(32)),
        ("dcgan5", Size(40, 64)),
    ],
)
def test_every_size(architecture: Any, size: Size, channels: int, downsampling: Any) -> None:
    config = NetworkConfig(architecture, size, channels, latent=50, width=2, downsampling=downsampling)
    generator, discriminator = Generator(config), Discriminator(config)
    images = generator(torch.randn(3, 50))
    assert images.shape == (3, channels, *size)
    assert images.abs().max() <= 1
    logits = discriminator(images)
    assert logits.shape == (3,)
    torch.testing.assert_close(discriminator.eval().probability(images), discriminator(images).sigmoid())
    logits.sum().backward()
    for network in (generator, discriminator):
        assert all(weight.grad is not None for weight in network.parameters())


@given(latent=st.integers(1, 300), width=st.integers(1, 6))
@settings(max_examples=15)
def test_any_latent_and_width(latent: int, width: int) -> None:
    config = NetworkConfig(size=square(16), latent=latent, width=width)
    assert Generator(config)(torch.zeros(2, latent)).shape == (2, 1, 16, 16)


def test_dcgan64_is_the_usual_one() -> None:
    generator = Generator(PRESETS["dcgan64"])
    channels = [layer.out_channels for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert channels == [256, 128, 64, 1]
    kernels = {layer.kernel_size for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)}
    assert kernels == {(4, 4)}


def test_dcgan5_is_the_keras_one() -> None:
    config = PRESETS["dcgan5-32"]
    generator, discriminator = Generator(config), Discriminator(config)
    dense = generator.layers[0]
    assert isinstance(dense, nn.Linear)
    assert dense.out_features == 4 * 4 * 512
    assert dense.bias is None
    upward = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.stride[0] for layer in upward] == [1, 2, 2, 2]
    assert {layer.kernel_size for layer in upward} == {(5, 5)}
    downward = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in downward] == [64, 128, 256]
    assert [layer.p for layer in discriminator.layers if isinstance(layer, nn.Dropout)] == [0.3] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"size": square(30)},
            "dcgan cannot make 30×30 pixels: the nearest sizes are 24, 28, 32, 36",
        ),
        ({"size": square(12)}, "the nearest sizes are 16, 20, 24, 28"),
        ({"size": Size(96, 66)}, "dcgan cannot make 96×66 pixels: the nearest sizes are "),
        ({"size": Size(256, 16)}, "dcgan cannot make 256×16 pixels"),
        ({"size": square(2048)}, "the nearest sizes are 832, 896, 960, 1024"),
        ({"size": square(0)}, "dcgan cannot make 0×0"),
        ({"size": Size(-64, 64)}, "dcgan cannot make -64×64"),
        (
            {"architecture": "dcgan5", "size": square(28)},
            "dcgan5 cannot make 28×28 pixels: .* 32, 40, 48, 56",
        ),
        ({"architecture": "stylegan"}, "architecture 'stylegan' is unknown: choose dcgan, dcgan5"),
        ({"channels": 2}, "channels 2 is unknown: choose 1, 3, 4"),
        ({"distribution": "cauchy"}, "choose normal, uniform, truncated"),
        ({"downsampling": "none"}, "choose strides, pooling"),
        ({"attention": 32}, "dcgan of 32×32 pixels has no place for attention 32: choose 0, 4, 8, 16"),
        ({"attention": 12}, "attention 12: choose 0, 4, 8, 16"),
        ({"attention": 16.0}, "attention 16.0: choose"),
        ({"architecture": "dcgan5", "attention": 8}, "attention 8: choose 0 .none., or another architecture"),
        ({"size": square(28), "attention": 7}, "28×28 pixels has no place for attention 7: choose 0, 14"),
        ({"size": Size(96, 64), "attention": 48}, "choose 0, 4, 8, 16, 32"),
        ({"latent": 0}, "latent 0"),
        ({"width": 1.5}, "width 1.5"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(NetworkConfig(), **change)


@pytest.mark.parametrize("name", PRESETS)
def test_config_survives_json(name: str) -> None:
    assert config_from_json(PRESETS[name].to_json()) == PRESETS[name]


def test_size_in_json_is_a_number_or_a_pair() -> None:
    """Square configs read as earlier versions wrote them."""
    assert NetworkConfig(size=square(64)).to_json()["size"] == 64
    tall = NetworkConfig(size=Size(96, 64))
    assert tall.to_json()["size"] == [96, 64]
    assert config_from_json(json.loads(json.dumps(tall.to_json()))) == tall
    for wrong in ("64", [96], [96, 64, 3], [96, 64.0], True, None):
        with pytest.raises(ValueError, match="size"):
            config_from_json({**tall.to_json(), "size": wrong})


@given(st.integers(1, 1100), st.integers(1, 1100), st.sampled_from(["dcgan", "dcgan5", "resnet"]))
def test_sizes_share_their_doublings(height: int, width: int, architecture: Any) -> None:
    """A size works whose sides are 4 to 16 pixels, doubled equally often; else near ones that work are named."""
    counts = (3,) if architecture == "dcgan5" else range(2, 11)
    first = [(height / 2**count, width / 2**count) for count in counts]
    whole = [sides for sides in first if min(sides) >= 4 and all(side == int(side) for side in sides)]
    works = bool(whole) and max(whole[-1]) <= 16 and max(height, width) <= 1024
    try:
        config = NetworkConfig(architecture, Size(height, width))
    except ValueError as error:
        assert not works
        near = [parse_size(each) for each in str(error).partition("the nearest sizes are ")[2].split(", ")]
        assert near
        assert all(NetworkConfig(architecture, size).doublings for size in near)
    else:
        assert works
        assert config.first == whole[-1]
        assert [side << config.doublings for side in config.first] == [height, width]


@pytest.mark.parametrize(
    ("text", "size"), [("64", (64, 64)), ("96x64", (96, 64)), (" 96X64", (96, 64)), (48, (48, 48))]
)
def test_sizes_on_the_command_line(text: Any, size: tuple[int, int]) -> None:
    assert parse_size(text) == size
    assert parse_size(str(parse_size(text))) == size


@pytest.mark.parametrize("text", ["", "64x", "x64", "64x64x3", "6.4", "-64", "1e3", "64*64", [64], None])
def test_what_is_not_a_size_is_refused(text: Any) -> None:
    with pytest.raises(UsageError, match="as in 64, or height x width, as in 96x64"):
        parse_size(text)


def test_config_from_json_refuses_other_fields() -> None:
    value = PRESETS["dcgan32"].to_json()
    with pytest.raises(ValueError, match="depth"):
        config_from_json({**value, "depth": 3})
    del value["width"]
    with pytest.raises(ValueError, match="width"):
        config_from_json(value)


def test_a_config_from_before_there_were_classes() -> None:
    value = PRESETS["dcgan64"].to_json()
    for name in ("classes", "upsampling", "discriminator_norm", "attention"):
        del value[name]
    assert config_from_json(value) == PRESETS["dcgan64"]


@pytest.mark.parametrize("architecture", ["dcgan", "dcgan5", "resnet", "r3gan"])
def test_classes_matter_to_both_networks(architecture: Any) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(architecture, square(32), latent=5, width=2, classes=3)
    generator, discriminator = Generator(config).eval(), Discriminator(config).eval()
    z, images = torch.randn(2, 5), torch.rand(2, 1, 32, 32)
    zero, one = torch.tensor([0, 0]), torch.tensor([1, 1])
    assert not torch.equal(generator(z, zero), generator(z, one))
    assert not torch.equal(discriminator(images, zero), discriminator(images, one))


def test_attention_is_its_formula() -> None:
    """Against loops over pixels; at first it is the identity."""
    torch.manual_seed(0)
    block = SelfAttention(16).double()
    x = torch.randn(2, 16, 4, 6, dtype=torch.float64)
    assert torch.equal(block(x), x)
    nn.init.constant_(block.gamma, 0.5)
    queries, keys, values = (part(x) for part in (block.query, block.key, block.value))
    keys, values = (part.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)) for part in (keys, values))
    expected = x.clone()
    for image, row, column in np.ndindex(2, 4, 6):
        fits = torch.einsum("c,chw->hw", queries[image, :, row, column], keys[image])
        weights = fits.exp() / fits.exp().sum()
        read = torch.einsum("hw,chw->c", weights, values[image])
        expected[image, :, row, column] += 0.5 * block.out.weight[:, :, 0, 0] @ read
    torch.testing.assert_close(block(x), expected)
    x = torch.randn(1, 16, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(block, (x,))


@pytest.mark.parametrize("size", [square(32), Size(32, 48)])
@pytest.mark.parametrize("resolution", [4, 8, 16])
@pytest.mark.parametrize("architecture", ["dcgan", "resnet", "r3gan"])
def test_attention_stands_where_it_was_asked_for(architecture: Any, resolution: int, size: Size) -> None:
    config = NetworkConfig(architecture, size, latent=5, width=2, attention=resolution)
    seen: list[torch.Size] = []
    for network, argument in (
        (Generator(config), torch.randn(2, 5)),
        (Discriminator(config), torch.rand(2, 1, *size)),
    ):
        (block,) = (layer for layer in network.modules() if isinstance(layer, SelfAttention))
        block.register_forward_hook(lambda _, given, made: seen.extend([given[0].shape, made.shape]))
        network(argument)
    assert [tuple(shape[2:]) for shape in seen] == [(resolution, resolution * size.width // size.height)] * 4


def test_spectral_norm_bounds_the_discriminator() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(architecture="resnet", size=square(16), width=4, discriminator_norm="spectral")
    discriminator = Discriminator(config)
    for _ in range(30):
        discriminator(torch.rand(4, 1, 16, 16))  # each step comes nearer to the largest singular value
    last = discriminator.layers[-1]
    assert isinstance(last, nn.Linear)
    assert torch.linalg.matrix_norm(last.weight, 2).item() == pytest.approx(1, abs=0.05)

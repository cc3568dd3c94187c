"""Upsampling by `resize` equals repeating each pixel and convolving, at the cost of a transposed convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gantool.export.graph.simplify import simplify
from gantool.models import Generator, NetworkConfig, Size, square
from gantool.models.resize import ResizeConv
from helpers.networks import lived_in


@settings(max_examples=30, deadline=None)
@given(
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 5),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    bias=st.booleans(),
)
def test_equals_upsampling_and_convolution(
    inputs: int, outputs: int, size: tuple[int, int], bias: bool
) -> None:
    layer = ResizeConv(inputs, outputs, bias=bias, wrapped=0).double()
    separate = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
    separate.double()[1].load_state_dict(layer.state_dict())
    x = torch.randn(2, inputs, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(x), separate(x))


def before(config: NetworkConfig) -> nn.Sequential:
    """Return the layers as versions before 2026-11-29 built them."""
    layers: list[nn.Module] = []
    for layer in Generator(config).layers.children():
        if isinstance(layer, ResizeConv):
            layers[-1] = nn.Upsample(scale_factor=2)
            bias = layer.bias is not None
            layers.append(nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=bias))
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def test_an_earlier_checkpoint_gives_its_images() -> None:
    config = NetworkConfig(size=Size(48, 32), channels=4, latent=6, width=4, upsampling="resize")
    generator = lived_in(config)
    earlier = before(config).eval()
    earlier.load_state_dict(generator.layers.state_dict())
    z = torch.randn(3, 6)
    with torch.no_grad():
        torch.testing.assert_close(generator(z), earlier(z), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("width", [4, 64])
@pytest.mark.parametrize("tile", [False, True])
def test_a_graph_holds_the_summed_kernels(width: int, tile: bool) -> None:
    """Also of layers so wide that a constant of their size is not folded as a matter of course."""
    config = NetworkConfig(size=square(32), width=width, latent=6, upsampling="resize", tile=tile)
    generator, z = lived_in(config), torch.randn(2, 6)
    program: Any = torch.onnx.export(generator, (z,), dynamo=True, optimize=False, verbose=False)
    simplify(program.model)
    model = program.model_proto
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("ConvTranspose") == config.doublings
    assert {"AveragePool", "Conv", "Resize", "Upsample"}.isdisjoint(operators)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: z.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, generator(z).numpy(), atol=1e-4)

"""Simulated INT8: what it rounds is checked against graphs in tests/export/test_trained_int8.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gantool.models import PRESETS, Generator, NetworkConfig
from gantool.models.equalize import equalize
from gantool.models.quantize import quantized
from gantool.models.sampling import config_inputs
from helpers.networks import NETWORKS, lived_in


def error(student: nn.Module, teacher: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Return the mean squared difference of two generators' images."""
    return nn.functional.mse_loss(student(*inputs), teacher(*inputs).detach())


def spread(generator: Generator) -> Generator:
    """Give the channels of each layer ranges that differ, up to a hundredfold; the images stay the same."""
    layers = list(generator.layers)
    norms = [index for index, layer in enumerate(layers) if isinstance(layer, nn.BatchNorm2d)]
    with torch.no_grad():
        for index in norms:
            norm = layers[index]
            assert isinstance(norm, nn.BatchNorm2d)
            following = next(
                layer for layer in layers[index:] if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            )
            factors = torch.logspace(-1, 1, len(norm.weight))
            norm.weight.mul_(factors)
            norm.bias.mul_(factors)
            axis = 1 if isinstance(following, nn.Conv2d) else 0
            following.weight.div_(factors.reshape([-1 if side == axis else 1 for side in range(4)]))
    return generator


@pytest.mark.parametrize(
    "config",
    [
        NETWORKS["dcgan32"],
        NETWORKS["tile"],
        replace(PRESETS["small"], width=8, latent=20),
        NETWORKS["dcgan5-32"],
    ],
    ids=["dcgan", "tile", "resize", "dcgan5"],
)
def test_equalization_changes_no_image(config: NetworkConfig) -> None:
    generator, inputs = lived_in(config), config_inputs(config, range(16))
    with torch.no_grad():
        before = generator(*inputs)
        first = [each.clone() for each in generator.parameters()]
        equalize(generator, inputs)
        assert any(not torch.equal(*pair) for pair in zip(first, generator.parameters(), strict=True))
        torch.testing.assert_close(generator(*inputs), before, atol=1e-4, rtol=1e-3)


def test_channels_of_very_different_ranges_keep_their_levels() -> None:
    config = NETWORKS["dcgan32"]
    inputs = config_inputs(config, range(16))
    teacher = lived_in(config)
    with torch.no_grad():
        even = error(quantized(teacher, inputs), teacher, inputs)
        uneven = error(quantized(spread(lived_in(config)), inputs), teacher, inputs)
    assert uneven < 1.1 * even


def test_a_student_learns_weights_and_ranges() -> None:
    config = replace(NETWORKS["dcgan16"], classes=3)
    teacher, inputs = lived_in(config), config_inputs(config, range(32))
    student = quantized(teacher, inputs)
    with torch.no_grad():
        student.ranges.add_(torch.tensor([1.0, -1.0, 1.0]) / 300)  # e times too wide, and too narrow
    state = {name: each.clone() for name, each in student.state_dict().items()}
    before, optimizer = error(student, teacher, inputs).item(), torch.optim.Adam(student.parameters(), 1e-4)
    for _ in range(100):
        optimizer.zero_grad()
        torch.autograd.backward(error(student.train(), teacher, inputs))
        optimizer.step()
    assert error(student, teacher, inputs).item() < before / 4
    assert student.limits[1] > 1.5 * state["ranges"].mul(300).exp()[1]
    for name, each in student.state_dict().items():  # BatchNorm keeps its statistics
        assert torch.equal(each, state[name]) == ("running" in name or "num_batches" in name), name

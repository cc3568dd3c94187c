"""The generator of PyTorch's DCGAN example, rebuilt from the shapes in its state_dict."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from gantool.export.graph.state_dicts import State
from gantool.export.graph.weights import expected_state


def build_dcgan(state: State) -> nn.Sequential:
    """Return the layers `main` of the generator, by the shapes of its weights."""
    layers: list[nn.Module] = []
    names = _convolutions(state)
    for name in names:
        inputs, outputs = state[name].shape[:2]
        step = (2, 1) if layers else (1, 0)
        bias = name.replace("weight", "bias") in state
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, *step, bias=bias))
        # [N, nz, 1, 1] -> [N, C, 4, 4]; each later layer doubles H and W
        layers += [nn.Tanh()] if name == names[-1] else [nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


def dcgan_mismatch(state: State) -> str | None:
    """Return why a state_dict is not that of the example's generator, or None."""
    names = _convolutions(state)
    shapes = [tuple(state[name].shape) for name in names]
    elsewhere = "for other networks use `origin` package.module:function"
    if not names or any(shape[2:] != (4, 4) for shape in shapes):
        odd = [f"{name} {list(state[name].shape)}" for name in names if state[name].shape[2:] != (4, 4)]
        found = odd[0] if odd else f"{', '.join(list(state)[:4])} ..."
        return (
            "it is not a generator of PyTorch's DCGAN example: expected 4×4 weights main.0.weight, "
            f"main.3.weight ..., found {found}; {elsewhere}"
        )
    steps = list(pairwise(shapes))
    if any(one[1] != two[0] for one, two in steps) and all(one[0] == two[1] for one, two in steps):
        return "it is the discriminator, by the shapes of its weights: give netG"
    with torch.device("meta"):  # allocates nothing: the file may claim any shape
        expected = expected_state(nn.ModuleDict({"main": build_dcgan(state)}))
    if mismatch := expected.mismatch(state):
        return f"it is not a generator of PyTorch's DCGAN example: {mismatch}; {elsewhere}"
    if shapes[-1][1] not in (1, 3, 4):
        return f"it makes images of {shapes[-1][1]} channels, and gantool writes 1, 3 or 4; {elsewhere}"
    return None


def _convolutions(state: State) -> list[str]:
    """Return the names main.N.weight of the 4-dimensional weights, sorted by N."""
    names = [name for name, weight in state.items() if name.startswith("main.") and weight.ndim == 4]
    names = [name for name in names if name.count(".") == 2 and name.split(".")[1].isdecimal()]
    return sorted(names, key=lambda name: int(name.split(".")[1]))

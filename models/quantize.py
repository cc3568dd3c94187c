"""Quantization-aware training: a generator that rounds data and weights where an INT8 graph does.

`export --int8` puts a Q/DQ pair before each layer with weights, and quantizes the weights of each output channel
(`export/precision/quantize.py`). Here, such layers compute in float32, with data and weights that are rounded to
the same levels: what is trained is what the graph computes. Gradients pass through the rounding unchanged. The
range of a layer's data is learned as in LSQ (Esser et al. 2020, arXiv:1902.08153).

The export folds BatchNorm into the weights first. That multiplies an output channel by a number, and its scale
follows. So rounding the weights before BatchNorm gives the same integers, if the statistics stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gantool.models.equalize import equalize
from gantool.models.network import Generator

RANGES = "ranges"  # the parameter
_LEVELS = 127
_DATA = (-_LEVELS - 1, _LEVELS)
# The functions that layers call, and the axis of the output channels in their weights.
_CHANNEL_AXIS: dict[Any, int] = {F.linear: 0, F.conv2d: 0, F.conv_transpose2d: 1}
_SPEED = 300  # Adam moves a parameter by about the learning rate; ranges must move faster than weights
_SHARES = torch.linspace(0.3, 1, 36)  # of the largest magnitude, to start a range at


class QuantizedGenerator(Generator):
    """A generator with simulated INT8. It stays in eval mode: BatchNorm keeps its statistics."""

    def __init__(self, generator: Generator, limits: Sequence[float]) -> None:
        """Copy a generator. `limits`: the largest magnitude of the data of each layer, in computing order."""
        super().__init__(generator.config)
        self.load_state_dict(generator.state_dict())
        self.ranges = nn.Parameter(torch.tensor(limits).log() / _SPEED)  # [layers]
        self.eval()

    @property
    def limits(self) -> list[float]:
        """The learned range of the data of each layer, as its largest magnitude."""
        return self._limits().tolist()

    def train(self, mode: bool = True) -> QuantizedGenerator:  # noqa: ARG002
        return super().train(False)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the images of z, [N, C, H, W], as an INT8 graph would make them."""
        scales = self._limits().unsqueeze(1) / _LEVELS  # [layers, 1]
        with _EachLayer(lambda layer, data: _round_data(data, scales[layer])):
            return super().forward(z, label)

    def _limits(self) -> Tensor:
        return (self.ranges * _SPEED).exp()


def quantized(generator: Generator, inputs: tuple[Tensor, ...]) -> QuantizedGenerator:
    """Return an equalized copy with simulated INT8, its ranges calibrated: z [N, latent] and perhaps label [N]."""
    copied, limits = copy.deepcopy(generator).eval(), list[float]()
    equalize(copied, inputs)

    def calibrate(layer: int, data: Tensor) -> Tensor:
        del layer
        limits.append(_best_limit(data))
        return data

    with torch.no_grad(), _EachLayer(calibrate):
        copied(*inputs)
    return QuantizedGenerator(copied, limits)


class _EachLayer(TorchFunctionMode):
    """While it is entered, replaces the data of each layer, and rounds its weights."""

    def __init__(self, replaced: Callable[[int, Tensor], Tensor]) -> None:
        """`replaced` returns what replaces the data of a layer, which is numbered from 0."""
        super().__init__()
        self.replaced, self.layer = replaced, 0

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func not in _CHANNEL_AXIS:
            return func(*args, **(kwargs or {}))
        data, weight, *others = args
        data = self.replaced(self.layer, data)
        self.layer += 1
        return func(data, _round_weight(weight, _CHANNEL_AXIS[func]), *others, **(kwargs or {}))


def _round_data(data: Tensor, scale: Tensor) -> Tensor:
    zero = torch.zeros_like(scale)
    return torch._fake_quantize_learnable_per_tensor_affine(data, scale, zero, *_DATA)


def _round_weight(weight: Tensor, axis: int) -> Tensor:
    others = [index for index in range(weight.ndim) if index != axis]
    largest = weight.detach().abs().amax(others)  # [O]
    scale = torch.where(largest > 0, largest, 1) / _LEVELS
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -_LEVELS, _LEVELS)


def _best_limit(data: Tensor) -> float:
    """Return the limit that rounds data with the least squared error: a share of their largest magnitude."""
    limits = _SHARES.to(data.device) * data.abs().max().clamp(min=1e-12)
    rounded = (
        torch.fake_quantize_per_tensor_affine(data, limit / _LEVELS, 0, *_DATA) for limit in limits.tolist()
    )
    return float(limits[torch.stack([(each - data).square().mean() for each in rounded]).argmin()])

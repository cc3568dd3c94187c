"""BatchNorm over the batches of all processes, with second derivatives.

torch's SyncBatchNorm does not run on a CPU, on which the tests run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gantool.train.distributed import all_reduce_sum


def convert_sync_batchnorm(network: nn.Module) -> None:
    """Make every BatchNorm normalize over the batches of all processes. Names and weights do not change."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            setattr(network, name, _SyncBatchNorm(layer))
        else:
            convert_sync_batchnorm(layer)


class _Sum(torch.autograd.Function):
    """Sums a tensor over all processes. Its backward is the same sum, so it has derivatives of any order."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return all_reduce_sum(value)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradient)  # type: ignore[no-untyped-call]
        return total


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over all processes."""

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked

    def forward(self, values: Tensor) -> Tensor:
        """Normalize [B, C] or [B, C, H, W]; every process has the same B."""
        if not self.training:
            return super().forward(values)
        dims = [0, *range(2, values.dim())]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        exact = values.float()
        processes = torch.distributed.get_world_size()
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        shift = self.running_mean.clone()  # close to the mean, so that the squares below do not cancel
        exact = exact - shift.view(shape)
        moments = torch.cat([exact.mean(dims), exact.square().mean(dims)])  # [2C]
        total: Tensor = _Sum.apply(moments)  # type: ignore[no-untyped-call]
        center, square = (total / processes).chunk(2)
        variance = (square - center.square()).clamp(min=0)
        with torch.no_grad():
            count = values.numel() // values.shape[1] * processes
            self.running_mean.lerp_(center + shift, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / max(count - 1, 1), self.momentum or 0.0)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normal: Tensor = (exact - center.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return normal.to(values.dtype)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's name)
        pass

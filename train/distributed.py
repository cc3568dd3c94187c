"""The device, and the processes that share a run: Lightning Fabric starts and joins them.

Every process holds the same networks. Of each batch it takes every n-th image and latent, so that n processes see
what one would; batch normalization and gradients are averaged over all of them, and so all make the same step.

Gradients are averaged here, once after backward, and not by DistributedDataParallel: its hooks allow neither two
passes of a network before one backward, nor the second derivatives of the penalties.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import TimeoutExpired
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.process.signals import ending_signals

PATIENCE = 20.0  # seconds for the other processes to end after this one


def start_processes(
    device: str, devices: int | None, nodes: int | None, batch: int, accumulate: int
) -> Fabric:
    """Start the processes of a run, or join those that torchrun or SLURM started.

    `devices` on each of `nodes` machines; None is as many as were started, or one. Started here, they are started
    as this one was, with the same arguments, so all that follows happens in each. Raises UsageError for a device
    that gantool does not know and for more processes than can share a batch, GantoolError for a device that is not
    there.
    """
    count = devices or _started("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE")
    machines = nodes or _started("SLURM_NNODES")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        there = _started("LOCAL_WORLD_SIZE"), _started("WORLD_SIZE") // _started("LOCAL_WORLD_SIZE")
        if (count, nodes or there[1]) != there:
            raise UsageError(
                f"torchrun started {there[0]} processes a machine, on {there[1]}: leave --devices and --nodes out"
            )
        machines = there[1]
    if count * machines == 1:
        return alone(device)
    if devices or nodes:  # before they are started; those that are there say it in one voice, later
        check_share(count * machines, batch, accumulate)
    kind, _, index = _known(device).partition(":")
    if index:
        raise UsageError(
            f"--device {device} is one device, --devices {count} asks for more: give --device {kind}"
        )
    if machines > 1 and not {"MASTER_ADDR", "SLURM_JOB_ID"} & os.environ.keys():
        raise UsageError(
            f"--nodes {machines}: start it with torchrun or SLURM, or give MASTER_ADDR, MASTER_PORT and NODE_RANK "
            "in the environment of each machine"
        )
    with _quiet(), _stopped_at_once():
        try:
            fabric = Fabric(accelerator=kind, devices=count, num_nodes=machines, strategy="ddp")
            fabric.launch()
            _adopt(fabric)
        except (RuntimeError, ValueError, IndexError, MisconfigurationException) as error:
            raise GantoolError(
                f"--devices {count} --nodes {machines} on {kind}: {_first_line(error)}"
            ) from error
    return fabric


@contextmanager
def _stopped_at_once() -> Iterator[None]:
    """Have signals end this process: it waits for the others outside of Python, which would never hear of them."""
    numbers = ending_signals()
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def alone(device: str) -> Fabric:
    """Return this process as the only one, on a device. Raises as `start_processes`."""
    name = _known(device)
    try:
        torch.empty(1, device=name)
        return Fabric(accelerator=name.partition(":")[0], strategy=SingleDeviceStrategy(torch.device(name)))
    except (RuntimeError, AssertionError, MisconfigurationException) as error:
        raise GantoolError(
            f"--device {name} cannot be used here: {_first_line(error)}; try --device auto"
        ) from error


def _adopt(fabric: Fabric) -> None:
    """Take the processes that Lightning started over from it.

    It would kill this one, in the middle of saving, when one of them ends with an error. They are waited for at the
    end, and killed if they go on.
    """
    started = getattr(fabric.strategy.launcher, "procs", None)
    if not started:
        return
    processes = list(started)
    started.clear()  # the list that Lightning watches

    def end() -> None:
        for process in processes:
            try:
                process.wait(PATIENCE)
            except TimeoutExpired:  # noqa: PERF203 (each has its own end)
                process.kill()

    atexit.register(end)


def precision(name: str, device: torch.device) -> Precision:
    """Return how a step computes: fp32, bf16, or fp16 with scaled losses, so that no gradient vanishes."""
    if name == "fp32":
        return Precision()
    return MixedPrecision("bf16-mixed" if name == "bf16" else "16-mixed", device.type)


def check_share(count: int, batch: int, accumulate: int) -> None:
    """Raise UsageError for a batch that so many processes cannot share evenly."""
    if batch % count or batch // count < 2 * accumulate:  # BatchNorm needs two
        raise UsageError(
            f"--batch {batch} for {count} processes: give a multiple of {count}, at least {2 * count * accumulate}"
        )


def mine(fabric: Fabric) -> slice:
    """Return which items of a batch are those of this process."""
    return slice(fabric.global_rank, None, fabric.world_size)


def average_gradients(fabric: Fabric, network: nn.Module) -> None:
    """Give each process the mean of all gradients."""
    gradients = [each.grad for each in network.parameters() if each.grad is not None]
    if fabric.world_size == 1 or not gradients:
        return
    flat = mean(fabric, torch.cat([each.flatten() for each in gradients]))  # one message for all
    parts = torch.split(flat, [each.numel() for each in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def mean(fabric: Fabric, value: Tensor) -> Tensor:
    """Return the mean of a value over the processes."""
    return value if fabric.world_size == 1 else _total(value) / fabric.world_size


def agree(fabric: Fabric, stopping: bool, seconds: float) -> tuple[bool, float]:
    """Return whether any process was told to stop, and the seconds of the first: so all stop at the same step."""
    if fabric.world_size == 1:
        return stopping, seconds
    # not the most seconds: the others wait, and count, while the first measures
    own = [float(stopping), seconds if fabric.is_global_zero else 0.0]
    values = torch.tensor(own, device=fabric.device)
    torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
    told, of_first = values.tolist()
    return bool(told), of_first


def gather(fabric: Fabric, value: Tensor) -> list[Tensor]:
    """Return a tensor of each process, on the CPU and in their order; all have the same shape."""
    if fabric.world_size == 1:
        return [value]
    parts = [torch.empty_like(value, device=fabric.device) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(parts, value.to(fabric.device))
    return [part.cpu() for part in parts]


@contextmanager
def one_by_one(fabric: Fabric) -> Iterator[None]:
    """Let the first process of each machine go through the block before the others.

    Where it fails in any, all end; the first that failed tells why.
    """
    failed: GantoolError | None = None
    with watched(fabric):
        with fabric.rank_zero_first(local=True):
            try:
                yield
            except GantoolError as error:  # not through the barrier, at which the others wait
                failed = error
        codes = [int(code) for code in gather(fabric, torch.tensor(failed.exit_code if failed else 0))]
    first = next((rank for rank, code in enumerate(codes) if code), None)
    if failed and first == fabric.global_rank:
        raise failed
    if first is not None:
        raise SystemExit(codes[first])


@contextmanager
def one_voice(fabric: Fabric) -> Iterator[None]:
    """Leave it to the first process to tell an error that all of them meet."""
    try:
        yield
    except LostProcessError:
        raise
    except GantoolError as error:
        if fabric.global_rank:
            raise SystemExit(error.exit_code) from error
        raise


class LostProcessError(GantoolError):
    """Another process of the run is gone, or stopped answering."""


@contextmanager
def watched(fabric: Fabric) -> Iterator[None]:
    """Raise LostProcessError where the block fails because of another process."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, torch.distributed.DistError) or re.search(
            "gloo|nccl|tcpstore", str(error), re.I
        )
        if fabric.world_size == 1 or not lost:
            raise
        raise LostProcessError(
            f"process {fabric.global_rank} of {fabric.world_size}: another process of the run is gone"
        ) from error


def share_statistics(network: nn.Module) -> None:
    """Have every BatchNorm of a network normalize by the batch of all processes; names and weights stay."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            setattr(network, name, _SharedBatchNorm(layer))
        else:
            share_statistics(layer)


def _total(value: Tensor) -> Tensor:
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes. Its gradient is the same sum, so it has all derivatives."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return _total(value)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradient)  # type: ignore[no-untyped-call]
        return total


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over all processes: torch's own SyncBatchNorm refuses to run on a CPU, where this is tested."""

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
        shift = self.running_mean.clone()  # near the mean, so that the squares below do not cancel out
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


def _known(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: choose auto, cpu, cuda, cuda:1 or mps")
    return device


def _started(*names: str) -> int:
    """Return the first number that the environment has under one of the names, else 1."""
    for name in names:
        if found := re.match(r"[1-9]\d*", os.environ.get(name, "")):  # SLURM writes 4(x2), too
            return int(found[0])
    return 1


def _first_line(error: Any) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Lightning's lines about how it starts."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

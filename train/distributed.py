"""The device and the processes of a run, which Lightning Fabric starts and connects.

Every process has the same networks. Each of n processes takes every n-th image and latent of a batch, so together
they use the same images as one process would. BatchNorm statistics and gradients are averaged over all processes,
so all of them take the same step.

This module averages gradients itself, once after backward, instead of using DistributedDataParallel: its hooks
support neither two passes of a network before one backward, nor the second derivatives of the penalties.
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

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.process.signals import ending_signals
from gantool.runtime.process.terminal import message_of

PATIENCE = 20.0  # seconds that the other processes have to end after rank zero has ended


def start_processes(
    device: str, devices: int | None, nodes: int | None, batch: int, accumulate: int
) -> Fabric:
    """Start the processes of a run, or join those that torchrun or SLURM started.

    `devices` processes on each of `nodes` machines. None means as many as a launcher started, or one. New processes
    run the same command as this one. Raises UsageError for an unknown device, or for a batch that the processes
    cannot share evenly; GantoolError for a device that is missing.
    """
    count = devices or _started("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE")
    machines = nodes or _started("SLURM_NNODES")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        there = _started("LOCAL_WORLD_SIZE"), _started("WORLD_SIZE") // _started("LOCAL_WORLD_SIZE")
        if (count, nodes or there[1]) != there:
            raise UsageError(
                f"torchrun started {there[0]} processes a machine, on {there[1]}: leave `devices` and `nodes` out"
            )
        machines = there[1]
    if count * machines == 1:
        return single_device(device)
    if devices or nodes:  # check before starting processes; for running processes, rank zero checks it later
        check_batch_divisible(count * machines, batch, accumulate)
    kind, _, index = _known(device).partition(":")
    if index:
        raise UsageError(
            f"`device` {device} is one device, `devices` {count} asks for more: give `device` {kind}"
        )
    if machines > 1 and not {"MASTER_ADDR", "SLURM_JOB_ID"} & os.environ.keys():
        raise UsageError(
            f"`nodes` {machines}: start it with torchrun or SLURM, or give MASTER_ADDR, MASTER_PORT and NODE_RANK "
            "in the environment of each machine"
        )
    with _quiet(), _stopped_at_once():
        try:
            fabric = Fabric(accelerator=kind, devices=count, num_nodes=machines, strategy="ddp")
            fabric.launch()
            _take_over_children(fabric)
        except (RuntimeError, ValueError, IndexError, MisconfigurationException) as error:
            raise GantoolError(
                f"`devices` {count} `nodes` {machines} on {kind}: {message_of(error, first_sentence=True)}"
            ) from error
    return fabric


@contextmanager
def _stopped_at_once() -> Iterator[None]:
    """Let signals end this process at once: it waits for the others in C++ code, which delays Python's handlers."""
    numbers = ending_signals()
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def single_device(device: str) -> Fabric:
    """Return a Fabric of only this process, on a device. Raises the errors of `start_processes`."""
    name = _known(device)
    try:
        torch.empty(1, device=name)
        with _quiet():
            return Fabric(
                accelerator=name.partition(":")[0], strategy=SingleDeviceStrategy(torch.device(name))
            )
    except (RuntimeError, AssertionError, MisconfigurationException) as error:
        reason = message_of(error, first_sentence=True)
        raise GantoolError(f"`device` {name} cannot be used here: {reason}; try `device` auto") from error


def _take_over_children(fabric: Fabric) -> None:
    """Take over the processes that Lightning started.

    Lightning would kill this process, even while it is saving, when one of them fails. Instead, this process waits
    for them when it ends, and kills those that are still running.
    """
    started = getattr(fabric.strategy.launcher, "procs", None)
    if not started:
        return
    processes = list(started)
    started.clear()  # the list that Lightning monitors

    def end() -> None:
        for process in processes:
            try:
                process.wait(PATIENCE)
            except TimeoutExpired:  # noqa: PERF203 (each has its own end)
                process.kill()

    atexit.register(end)


def precision(name: str, device: torch.device) -> Precision:
    """Return Lightning's precision plugin: fp32, bf16, or fp16 with loss scaling against vanishing gradients."""
    if name == "fp32":
        return Precision()
    return MixedPrecision("bf16-mixed" if name == "bf16" else "16-mixed", device.type)


def check_batch_divisible(count: int, batch: int, accumulate: int) -> None:
    """Raise UsageError for a batch that `count` processes cannot share evenly."""
    if batch % count or batch // count < 2 * accumulate:  # BatchNorm needs two images
        raise UsageError(
            f"`batch` {batch} for {count} processes: give a multiple of {count}, at least {2 * count * accumulate}"
        )


def rank_slice(fabric: Fabric) -> slice:
    """Return the slice of a batch that belongs to this process."""
    return slice(fabric.global_rank, None, fabric.world_size)


def average_gradients(fabric: Fabric, network: nn.Module) -> None:
    """Replace the gradients of a network by their mean over all processes."""
    gradients = [each.grad for each in network.parameters() if each.grad is not None]
    if fabric.world_size == 1 or not gradients:
        return
    flat = mean(fabric, torch.cat([each.flatten() for each in gradients]))  # one all-reduce for all gradients
    parts = torch.split(flat, [each.numel() for each in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def mean(fabric: Fabric, value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes."""
    return value if fabric.world_size == 1 else all_reduce_sum(value) / fabric.world_size


def all_reduce_stop(fabric: Fabric, stopping: bool, seconds: float) -> tuple[bool, float]:
    """Return whether any process should stop, and rank zero's seconds, so that all stop at the same step."""
    if fabric.world_size == 1:
        return stopping, seconds
    # rank zero's seconds, not the maximum: the clocks of the others also count while rank zero measures
    own = [float(stopping), seconds if fabric.is_global_zero else 0.0]
    values = torch.tensor(own, device=fabric.device)
    torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
    any_stopping, of_rank_zero = values.tolist()
    return bool(any_stopping), of_rank_zero


def gather(fabric: Fabric, value: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, on the CPU, in the order of ranks. All must have the same shape."""
    if fabric.world_size == 1:
        return [value]
    parts = [torch.empty_like(value, device=fabric.device) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(parts, value.to(fabric.device))
    return [part.cpu() for part in parts]


@contextmanager
def rank_zero_first(fabric: Fabric) -> Iterator[None]:
    """Let the first process of each machine run the block before the others.

    If the block fails in any process, all processes end, and the failed one of the lowest rank reports the error.
    """
    failed: GantoolError | None = None
    with detect_lost_rank(fabric):
        with fabric.rank_zero_first(local=True):
            try:
                yield
            except GantoolError as error:  # raise it after the barrier, at which the others wait
                failed = error
        codes = [int(code) for code in gather(fabric, torch.tensor(failed.exit_code if failed else 0))]
    first = next((rank for rank, code in enumerate(codes) if code), None)
    if failed and first == fabric.global_rank:
        raise failed
    if first is not None:
        raise SystemExit(codes[first])


@contextmanager
def rank_zero_errors(fabric: Fabric) -> Iterator[None]:
    """Let only rank zero report an error that all processes raise."""
    try:
        yield
    except LostProcessError:
        raise
    except GantoolError as error:
        if fabric.global_rank:
            raise SystemExit(error.exit_code) from error
        raise


class LostProcessError(GantoolError):
    """Another process of the run has ended or does not answer."""


@contextmanager
def detect_lost_rank(fabric: Fabric) -> Iterator[None]:
    """Raise LostProcessError if the block fails because of another process."""
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


def all_reduce_sum(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total


def _known(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"`device` {device}: choose auto, cpu, cuda, cuda:1 or mps")
    return device


def _started(*names: str) -> int:
    """Return the number in the first of these environment variables that has one, else 1."""
    for name in names:
        if found := re.match(r"[1-9]\d*", os.environ.get(name, "")):  # SLURM also writes "4(x2)"
            return int(found[0])
    return 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Lightning's messages at start-up."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

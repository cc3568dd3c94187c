"""What to change in a module of others that does not work as a generator, by its signature, layers and output."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantool.export.graph.matching import says_label, says_z

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters(module: nn.Module) -> list[inspect.Parameter]:
    """Return the parameters of forward, but for *args and **kwargs."""
    return [each for each in _all_parameters(module) if each.kind not in _VARIABLE]


def takes_any(module: nn.Module) -> bool:
    """Whether forward takes *args."""
    return any(each.kind == each.VAR_POSITIONAL for each in _all_parameters(module))


def z_by_name(module: nn.Module) -> tuple[str] | None:
    """Return the parameter of forward that takes z where that is not its first, or None."""
    named = parameters(module)
    if not named:
        return None
    first = named[0]
    if first.kind == first.KEYWORD_ONLY:
        required = [each for each in named if each.default is each.empty]
        return ((required or named)[0].name,)
    if first.default is first.empty or says_z(first.name):
        return None
    return next(((each.name,) for each in named[1:] if says_z(each.name)), None)


def _all_parameters(module: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def by_signature(module: nn.Module, labelled: bool) -> str:
    """Say what forward wants beside z, where it cannot do without."""
    named = parameters(module)
    required = [each.name for each in named if each.default is each.empty]
    if len(required) > 2:
        return (
            f"forward requires {', '.join(required)}, and gantool gives it z, and with `classes` a label. Wrap it "
            "in a module whose forward takes these alone and fills in the rest"
        )
    if len(required) == 2 and not labelled:
        label = next((each for each in required if says_label(each)), required[1])
        return f"forward requires {label}, too: if that is the label, add `classes`"
    alone = (
        len(named) == len(_all_parameters(module))
        and sum(each.kind != each.KEYWORD_ONLY for each in named) == 1
    )
    if labelled and alone:
        return f"forward takes {named[0].name} alone: leave out `classes`"
    return ""


def by_optional_label(module: nn.Module, labelled: bool) -> str:
    """Say that forward takes a second argument which it may not do without after all."""
    names = [
        each.name
        for each in parameters(module)[1:2]
        if each.kind == each.POSITIONAL_OR_KEYWORD and not says_z(each.name)
    ]
    return (
        f"forward takes {names[0]}, too: if that is the label, add `classes`"
        if names and not labelled
        else ""
    )


def by_first_layer(module: nn.Module, latent: int, call: Callable[[], Any]) -> str:
    """Say which --latent the layer wants at which `call`, the module with z [2, latent], stops, or nothing."""
    entered: list[tuple[nn.Module, Tensor]] = []

    def enter(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            entered.append((layer, inputs[0]))

    layers = [layer for layer in module.modules() if _size_of_input(layer)[0] is not None]
    hooks = [layer.register_forward_pre_hook(enter) for layer in layers]
    try:
        with torch.no_grad():
            call()
    except Exception:  # which was reported already
        pass
    finally:
        for hook in hooks:
            hook.remove()
    if not entered:
        return ""
    layer, inputs = entered[-1]
    wanted, axis = _size_of_input(layer)
    if wanted is None or inputs.ndim <= abs(axis) - (axis < 0):
        return ""
    if isinstance(layer, nn.Conv2d) and wanted in (1, 3, 4) and len(entered) == 1:
        return (
            f"Its first layer takes images of {wanted} channels, and gantool exports generators that take z"
        )
    fitting = latent + wanted - inputs.shape[axis]
    if fitting < 1 or fitting == latent or inputs.shape[axis] < latent:
        return ""
    return f"Its {type(layer).__name__} takes {wanted}: `latent` {fitting}"


def _size_of_input(layer: nn.Module) -> tuple[int | None, int]:
    """Return how many values a layer takes along which axis, or None."""
    match layer:
        case nn.Linear():
            return layer.in_features, -1
        case nn.modules.conv._ConvNd():
            return layer.in_channels, 1
        case nn.Unflatten(dim=int(axis), unflattened_size=Sequence() as sizes):
            return math.prod(int(size) for size in sizes), axis
        case nn.modules.batchnorm._BatchNorm():
            return layer.num_features, 1
    return None, 0

"""Advice on a module that does not work as a generator, from the signature of its forward and from its layers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantool.export.graph.matching import is_label_name, is_z_name

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def named_parameters(module: nn.Module) -> list[inspect.Parameter]:
    """Return the parameters of forward, without *args and **kwargs."""
    return [each for each in _all_parameters(module) if each.kind not in _VARIABLE]


def takes_varargs(module: nn.Module) -> bool:
    """Return whether forward takes *args."""
    return any(each.kind == each.VAR_POSITIONAL for each in _all_parameters(module))


def z_parameter(module: nn.Module) -> tuple[str] | None:
    """Return the name of forward's parameter for z if it is not the first positional one, else None."""
    named = named_parameters(module)
    if not named:
        return None
    first = named[0]
    if first.kind == first.KEYWORD_ONLY:
        required = [each for each in named if each.default is each.empty]
        return ((required or named)[0].name,)
    if first.default is first.empty or is_z_name(first.name):
        return None
    return next(((each.name,) for each in named[1:] if is_z_name(each.name)), None)


def _all_parameters(module: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def advice_from_signature(module: nn.Module, labelled: bool) -> str:
    """Return advice if the required parameters of forward are not z, or z and a label; else ""."""
    named = named_parameters(module)
    required = [each.name for each in named if each.default is each.empty]
    if len(required) > 2:
        return (
            f"forward requires {', '.join(required)}, and gantool passes z, and with `classes` a label. Wrap it "
            "in a module whose forward takes only these and fills in the rest"
        )
    if len(required) == 2 and not labelled:
        label = next((each for each in required if is_label_name(each)), required[1])
        return f"forward requires {label}, too: if that is the label, add `classes`"
    alone = (
        len(named) == len(_all_parameters(module))
        and sum(each.kind != each.KEYWORD_ONLY for each in named) == 1
    )
    if labelled and alone:
        return f"forward takes only {named[0].name}: leave out `classes`"
    return ""


def advice_from_optional_label(module: nn.Module, labelled: bool) -> str:
    """Return advice on an optional second parameter that forward may need after all; else ""."""
    names = [
        each.name
        for each in named_parameters(module)[1:2]
        if each.kind == each.POSITIONAL_OR_KEYWORD and not is_z_name(each.name)
    ]
    return (
        f"forward takes {names[0]}, too: if that is the label, add `classes`"
        if names and not labelled
        else ""
    )


def advice_from_first_layer(module: nn.Module, latent: int, call: Callable[[], Any]) -> str:
    """Return the --latent that fits the layer at which `call` fails, or "".

    `call` runs the module with z [2, latent].
    """
    entered: list[tuple[nn.Module, Tensor]] = []

    def enter(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            entered.append((layer, inputs[0]))

    layers = [layer for layer in module.modules() if _size_of_input(layer)[0] is not None]
    hooks = [layer.register_forward_pre_hook(enter) for layer in layers]
    try:
        with torch.no_grad():
            call()
    except Exception:  # reported already
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
    """Return the input size of a layer and its axis; None for layers without a fixed input size."""
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

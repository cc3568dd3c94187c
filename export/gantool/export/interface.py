"""How a module of others is called and what it returns, found by calling it; brought to z, label -> images."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gantool.export.cause import cause_of
from gantool.runtime.errors import GantoolError

Shape = Literal["rows", "columns", "list"]  # z [N, L], z [N, L, 1, 1], [z [N, L]]
CALLED: dict[Shape, str] = {"rows": "z [2, {}]", "columns": "z [2, {}, 1, 1]", "list": "a list of z [2, {}]"}


@dataclass(frozen=True)
class Found:
    """A module under gantool's interface, and what had to be done to bring it there."""

    module: nn.Module
    image: tuple[int, int, int]  # H, W, C
    notes: tuple[str, ...]


class Adapted(nn.Module):
    """Call a generator as it wants to be called, and take the images out of what it returns."""

    def __init__(
        self, inner: nn.Module, shape: Shape, one_hot: int, path: tuple[Any, ...], nhwc: bool
    ) -> None:
        super().__init__()
        self.inner = inner
        self.shape, self.one_hot, self.path, self.nhwc = shape, one_hot, path, nhwc

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        given: Any = z[:, :, None, None] if self.shape == "columns" else [z] if self.shape == "list" else z
        if label is None:
            output = self.inner(given)
        elif self.one_hot:
            output = self.inner(given, (label[:, None] == torch.arange(self.one_hot)).float())  # [N, classes]
        else:
            output = self.inner(given, label)
        images: Tensor = at(output, self.path)
        return images.permute(0, 3, 1, 2) if self.nhwc else images  # [N, C, H, W]


def at(output: Any, path: tuple[Any, ...]) -> Any:
    """Return what lies in `output` under the keys, indices and names of fields of `path`."""
    for key in path:
        output = getattr(output, key) if is_dataclass(output) else output[key]
    return output


def find_interface(module: nn.Module, z: Tensor, label: Tensor | None, classes: int, name: str) -> Found:
    """Find out how `module` takes z [2, L] and label [2] and where its images are.

    Raises GantoolError, saying what was found and what to change, if no way gives images [N, 1 or 3, H, W].
    """
    given, failed = list[tuple[Shape, Any]](), list[tuple[Shape, Exception]]()
    hint = _by_signature(module, label is not None)
    for shape in CALLED:
        for one_hot in (0, classes) if label is not None else (0,):
            try:
                with torch.no_grad():
                    arguments = (z,) if label is None else (z, label)
                    output = Adapted(module, shape, one_hot, (), False)(*arguments)
            except Exception as error:  # whatever the module raises
                if not one_hot:
                    failed.append((shape, error))
                continue
            if (found := _images(output)) is not None:
                path, images, notes = found
                nhwc = images.shape[1] not in (1, 3)
                _, *sides = images.permute(0, 3, 1, 2).shape if nhwc else images.shape
                channels, height, width = sides
                plain = shape == "rows" and not (one_hot or path or nhwc)
                adapted = module if plain else Adapted(module, shape, one_hot, path, nhwc)
                notes += ("z goes in as a list",) * (shape == "list")
                notes += ("labels go in one-hot",) * bool(one_hot)
                notes += ("its images are [N, H, W, C]",) * nhwc
                return Found(adapted.eval(), (height, width, channels), notes)
            given.append((shape, output))
    latent = z.shape[1]
    if given:
        shape, output = given[0]
        text = f"of {CALLED[shape].format(latent)} it makes {_described(output)}"
        hint = _by_output(output) or hint
    else:
        hint = hint or _by_first_layer(module, z, label)
        hint = hint or _by_optional_label(module, label is not None)
        causes = [(CALLED[shape].format(latent), cause_of(error)) for shape, error in failed[:2]]
        once = hint or causes[0][1] == causes[1][1]
        text = "; ".join(f"with {called} it fails: {cause}" for called, cause in causes[: 1 if once else 2])
    raise GantoolError(f"{name} does not make images [N, 1 or 3, H, W]: {text}{f'. {hint}' if hint else ''}")


def _tensors(output: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """Yield the tensors of nested tuples, lists, dictionaries and dataclasses, with the way to each."""
    if isinstance(output, Tensor):
        yield path, output
        return
    items: Any = ()
    if isinstance(output, Mapping):
        items = output.items()
    elif isinstance(output, list | tuple):
        items = enumerate(output)
    elif is_dataclass(output):
        items = ((field.name, getattr(output, field.name)) for field in fields(output))
    for key, item in items:
        yield from _tensors(item, (*path, key))


def _images(output: Any) -> tuple[tuple[Any, ...], Tensor, tuple[str, ...]] | None:
    """Return the images of an output: the only ones, or the largest of a pyramid of one kind."""
    found = [(path, tensor) for path, tensor in _tensors(output) if _is_image(tensor)]
    if not found:
        return None
    path, tensor = max(found, key=lambda pair: pair[1].numel())
    if isinstance(output, Tensor):
        return path, tensor, ()
    if len(found) == 1:
        return path, tensor, (f"it returns {_described(output)}; output{_way(path)} is taken",)
    smaller = [other for each, other in found if each != path]
    if any(other.numel() == tensor.numel() for other in smaller):
        return None
    return path, tensor, (f"it returns {_described(output)}; output{_way(path)}, the largest, is taken",)


def _is_image(tensor: Tensor) -> bool:
    if tensor.ndim != 4 or tensor.shape[0] != 2 or not tensor.is_floating_point():
        return False
    _, first, second, last = tensor.shape
    return (first in (1, 3) and min(second, last) > 3) or (last in (1, 3) and min(first, second) > 3)


def _way(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path)


def _described(output: Any) -> str:
    """Return "a tuple of [2, 3, 64, 64] and [2, 3, 32, 32]", as messages have it."""
    if isinstance(output, Tensor):
        return str(list(output.shape))
    named = isinstance(output, Mapping)
    inside = [
        f"{'.'.join(map(str, path))} {list(tensor.shape)}" if named else str(list(tensor.shape))
        for path, tensor in _tensors(output)
    ]
    return f"a {type(output).__name__}" + (f" of {', '.join(inside[:6])}" if inside else "")


def _by_output(output: Any) -> str:
    """Say what to change in a generator that returns no images, by what it returns."""
    if not isinstance(output, Tensor):
        several = [path for path, tensor in _tensors(output) if _is_image(tensor)]
        if several:
            return f"Several are images: return one of them, output{_way(several[0])} say"
        return "Return the images alone"
    if output.ndim == 4 and 4 in output.shape[1:] and output.shape[1] == 4:
        return "Four channels are RGBA, and gantool writes 1 or 3: return images[:, :3]"
    if output.ndim == 4 and output.shape[3] == 4:
        return "Four channels are RGBA, and gantool writes 1 or 3: return images[..., :3]"
    if output.ndim == 2:
        for channels in (1, 3):
            side = math.isqrt(output.shape[1] // channels)
            if side > 3 and side * side * channels == output.shape[1]:
                return f"They are flat: end forward with images.view(-1, {channels}, {side}, {side})"
    if output.ndim == 3:
        return "They have no channels: end forward with images.unsqueeze(1)"
    if output.ndim == 4 and output.shape[0] != 2:
        return "The batch comes first: [N, C, H, W]"
    return ""


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def _by_signature(module: nn.Module, labelled: bool) -> str:
    """Say what forward wants beside z, where it cannot do without."""
    parameters = _parameters(module.forward)
    named = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    required = [each.name for each in named if each.default is each.empty]
    if len(required) > 2:
        return (
            f"forward requires {', '.join(required)}; gantool gives z, and a label with --classes: wrap it in "
            "a module whose forward takes only these and fills in the rest"
        )
    if len(required) == 2 and not labelled:
        return f"forward requires {required[1]}, too: if that is the label, add --classes"
    alone = len(named) == len(parameters) and sum(each.kind != each.KEYWORD_ONLY for each in named) == 1
    if labelled and alone:
        return f"forward takes {named[0].name} alone: leave out --classes"
    return ""


def _by_optional_label(module: nn.Module, labelled: bool) -> str:
    """Say that forward takes a second argument which it may not do without after all."""
    names = [
        each.name for each in _parameters(module.forward)[1:2] if each.kind == each.POSITIONAL_OR_KEYWORD
    ]
    return (
        f"forward takes {names[0]}, too: if that is the label, add --classes"
        if names and not labelled
        else ""
    )


def _by_first_layer(module: nn.Module, z: Tensor, label: Tensor | None) -> str:
    """Say which --latent the layer wants at which the call stopped, if its size can be seen."""
    entered: list[tuple[nn.Module, Tensor]] = []

    def enter(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            entered.append((layer, inputs[0]))

    layers = [layer for layer in module.modules() if _size_of_input(layer)[0] is not None]
    hooks = [layer.register_forward_pre_hook(enter) for layer in layers]
    try:
        with torch.no_grad():
            module(*((z,) if label is None else (z, label)))
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
        return f"Its first layer takes images of {wanted} channels: gantool exports generators of z, not of images"
    latent = z.shape[1] + wanted - inputs.shape[axis]
    if latent < 1 or latent == z.shape[1] or inputs.shape[axis] < z.shape[1]:
        return ""
    return f"Its {type(layer).__name__} takes {wanted}: --latent {latent}"


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

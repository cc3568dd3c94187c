"""How a module of others is called and what it returns, found by calling it; brought to z, label -> images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gantool.export.graph.advice import (
    by_first_layer,
    by_optional_label,
    by_signature,
    parameters,
    takes_any,
    z_by_name,
)
from gantool.export.graph.cause import cause_of
from gantool.export.graph.matching import (
    Images,
    Layout,
    Output,
    how_to_mend,
    label_of,
    pick,
    says_label,
    says_setting,
)
from gantool.runtime.errors import GantoolError

DEEPEST = 4  # of what a module returns: an object may hold itself
Shape = Literal["rows", "columns", "list", "tokens"]
CALLED: dict[Shape, str] = {
    "rows": "z [2, {}]",
    "columns": "z [2, {}, 1, 1]",
    "list": "a list of z [2, {}]",
    "tokens": "z [2, 1, {}]",
}
Form = Literal["numbers", "one-hot", "one-hot columns", "column", "float column"]
FORMS: dict[Form, str] = {  # of labels of 10 classes
    "numbers": "",  # int64 [N]
    "one-hot": "labels go in one-hot",  # float32 [N, 10]
    "one-hot columns": "labels go in one-hot, [N, classes, 1, 1]",
    "column": "labels go in as [N, 1]",
    "float column": "labels go in as floats [N, 1]",
}


class Call(NamedTuple):
    """How a module wants to be called."""

    shape: Shape = "rows"
    form: Form = "numbers"
    classes: int = 0
    names: tuple[str, ...] | None = None  # the parameters for z and label; None: in this order


@dataclass(frozen=True)
class Found:
    """A module under gantool's interface, and what had to be done to bring it there."""

    module: nn.Module
    image: tuple[int, int, int]  # H, W, C
    notes: tuple[str, ...]


class Adapted(nn.Module):
    """Call a generator as it wants to be called, and take the images out of what it returns."""

    def __init__(
        self, inner: nn.Module, call: Call, way: tuple[Any, ...] = (), layout: Layout = "NCHW"
    ) -> None:
        super().__init__()
        self.inner = inner
        self.call, self.way, self.layout = call, way, layout

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        images: Tensor = at(self.returned(z, label), self.way)
        if self.layout == "NHWC":
            return images.permute(0, 3, 1, 2)
        return images[:, None] if self.layout == "NHW" else images  # [N, C, H, W]

    def returned(self, z: Tensor, label: Tensor | None) -> Any:
        """Return all that the generator returns."""
        z = z.clone()  # who called may need it again, and a forward may change it in place
        given: Any = z
        if self.call.shape == "columns":
            given = z[:, :, None, None]
        elif self.call.shape == "tokens":
            given = z[:, None]
        elif self.call.shape == "list":
            given = [z]
        values = (given,) if label is None else (given, _in_form(label.clone(), self.call))
        if self.call.names is None:
            return self.inner(*values)
        return self.inner(**dict(zip(self.call.names, values, strict=True)))


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the generator inside DataParallel and torch.compile, which torch does not export."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def _in_form(label: Tensor, call: Call) -> Tensor:
    if call.form.startswith("one-hot"):
        rows = (label[:, None] == torch.arange(call.classes)).float()  # [N, classes]
        return rows[:, :, None, None] if call.form == "one-hot columns" else rows
    if call.form == "numbers":
        return label
    return label[:, None] if call.form == "column" else label[:, None].float()


def at(output: Any, way: tuple[Any, ...]) -> Any:
    """Return what lies in `output` under the keys, indices and names of fields of `way`."""
    for key in way:
        output = output[key] if isinstance(output, Mapping) or isinstance(key, int) else getattr(output, key)
    return output


def find_interface(module: nn.Module, z: Tensor, label: Tensor | None, classes: int, name: str) -> Found:
    """Find out how `module` takes z [2, L] and label [2] and where its images are.

    Raises GantoolError, saying what was found and what to change, if no way gives images [N, 1 or 3, H, W].
    """
    names = _parameters_of(module, name) if label is not None else z_by_name(module)
    given, failed = list[tuple[Shape, Any]](), list[tuple[Shape, Exception]]()
    for call in (Call(shape, form, classes, names) for shape in CALLED for form in _forms(label)):
        try:
            with torch.no_grad():
                output = Adapted(module, call).returned(z, label)
        except SystemExit as error:
            raise GantoolError(
                f"the forward of {name} ends Python ({cause_of(error)}): take that out of it"
            ) from error
        except Exception as error:  # whatever the module raises
            if call.form == "numbers":
                failed.append((call.shape, error))
            continue
        found = pick(_tensors(output), len(z))
        if len(found) == 1 and found[0].size[0] != 4:
            return _found(module, call, output, found[0], _changes(module, call, z, label))
        given.append((call.shape, output))
    raise GantoolError(
        f"{name} does not make images [N, 1 or 3, H, W]: {_why(module, z, label, names, given, failed)}"
    )


def _changes(module: nn.Module, call: Call, z: Tensor, label: Tensor | None) -> bool:
    """Whether a forward writes into what it is given, as z.mul_(2) does."""
    given = [z.clone()] if label is None else [z.clone(), label.clone()]
    if call != Call(classes=call.classes):
        return False  # adapted anyway
    with torch.no_grad():
        module(*given)
    pairs = zip(given, (z, label), strict=False)
    return any(before is not None and not torch.equal(after, before) for after, before in pairs)


def _forms(label: Tensor | None) -> tuple[Form, ...]:
    return ("numbers",) if label is None else tuple(FORMS)


def _found(module: nn.Module, call: Call, output: Any, images: Images, changed: bool) -> Found:
    """Return the module under gantool's interface: itself where it has that already."""
    way, layout, (channels, height, width) = images.output.way, images.layout, images.size
    notes = list[str]()
    if way:
        notes.append(f"it returns {_described(output)}; output{_way(way)} is taken")
    notes += ["z goes in as a list"] * (call.shape == "list")
    notes += ["z goes in as [N, 1, latent]"] * (call.shape == "tokens")
    if call.names:
        notes.append(
            ", ".join(f"{what} as {n}" for what, n in zip(("z goes in", "labels"), call.names, strict=False))
        )
    notes += [FORMS[call.form]] * (call.form != "numbers")
    notes += [f"its images are [{', '.join(layout)}]"] * (layout != "NCHW")
    plain = (call.shape, call.form, call.names, way, layout) == ("rows", "numbers", None, (), "NCHW")
    # torch.export wants the parameters of a forward one by one, and a z that stays as it was
    adapted = (
        module if plain and not takes_any(module) and not changed else Adapted(module, call, way, layout)
    )
    return Found(adapted.eval(), (height, width, channels), tuple(notes))


def _why(
    module: nn.Module,
    z: Tensor,
    label: Tensor | None,
    names: tuple[str, ...] | None,
    given: Sequence[tuple[Shape, Any]],
    failed: Sequence[tuple[Shape, Exception]],
) -> str:
    """Say what a module does in place of making images, and what to change."""
    hint, latent = by_signature(module, label is not None), z.shape[1]
    if given:
        shape, output = given[0]
        text = f"of {CALLED[shape].format(latent)} it makes {_described(output)}"
        hint = _by_output(output, len(z)) or hint
    else:
        hint = hint or by_first_layer(
            module, latent, lambda: Adapted(module, Call(names=names)).returned(z, label)
        )
        hint = hint or by_optional_label(module, label is not None)
        causes = [(CALLED[shape].format(latent), cause_of(error)) for shape, error in failed[:2]]
        once = hint or causes[0][1] == causes[1][1]
        text = "; ".join(f"with {called} it fails: {cause}" for called, cause in causes[: 1 if once else 2])
    return f"{text}{f'. {hint}' if hint else ''}"


def _tensors(output: Any, way: tuple[Any, ...] = ()) -> Iterator[Output]:
    """Yield the float tensors in what a module returned, with the way to each."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield Output(way, output)
        return
    for key, item in _items(output) if len(way) < DEEPEST else ():
        yield from _tensors(item, (*way, key))


def _items(output: Any) -> Iterable[tuple[Any, Any]]:
    """Return what a dictionary, tuple, list, NamedTuple, dataclass or object with attributes holds, by key."""
    if isinstance(output, Mapping):
        return output.items()
    if isinstance(output, list | tuple):
        names = getattr(output, "_fields", range(len(output)))
        return zip(names, output, strict=True)
    if is_dataclass(output):
        return ((field.name, getattr(output, field.name)) for field in fields(output))
    return [pair for pair in getattr(output, "__dict__", {}).items() if not pair[0].startswith("_")]


def _way(way: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in way)


def _described(output: Any) -> str:
    """Return "a tuple of [2, 3, 64, 64] and [2, 3, 32, 32]", as messages have it."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f"{str(output.dtype).removeprefix('torch.')} "
        return f"{kind}{list(output.shape)}"
    inside = [
        ".".join(key for key in each.way if isinstance(key, str)) + f" {list(each.values.shape)}"
        for each in _tensors(output)
    ]
    named = type(output).__name__
    return f"a {named}" + (f" of {', '.join(text.strip() for text in inside[:6])}" if inside else "")


def _by_output(output: Any, rows: int) -> str:
    """Say what to change in a generator that returns no images, by what it returns."""
    several = pick(_tensors(output), rows)
    if len(several) > 1:
        ways = ", ".join(f"output{_way(each.output.way)}" for each in several)
        return f"Several of them may be images ({ways}): return one of these alone"
    if isinstance(output, Tensor) and not output.is_floating_point():
        return "Integers are not taken: return the floats before they are rounded, and gantool rounds them"
    shapes = [each.output.values.shape for each in several] or [
        each.values.shape for each in _tensors(output)
    ]
    return how_to_mend(shapes, rows) or ("" if isinstance(output, Tensor) else "Return the images alone")


def _parameters_of(module: nn.Module, name: str) -> tuple[str, str] | None:
    """Return which parameters of forward take z and the label, or None if these are its first two, in this order.

    Raises GantoolError if forward has no parameter that may be a label.
    """
    named = parameters(module)
    names = [each.name for each in named]
    if len(names) < 2:
        return None
    labels = [each for each in names if says_label(each)]
    first = label_of(*names[:2])
    label = names[1 if first is None else first]
    if label not in labels and len(labels) == 1:
        label = labels[0]
    if says_setting(label):
        raise GantoolError(
            f"{name}: forward takes {', '.join(names)}, and none of these is a label: leave out `classes`"
        )
    z = next(each for each in names if each != label)
    positional = all(each.kind != each.KEYWORD_ONLY for each in named[:2])
    return None if (z, label) == tuple(names[:2]) and positional else (z, label)

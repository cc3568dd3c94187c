"""Find out how to call a PyTorch generator from elsewhere, and adapt it to forward(z, label) -> images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gantool.export.graph.advice import (
    advice_from_first_layer,
    advice_from_optional_label,
    advice_from_signature,
    named_parameters,
    takes_varargs,
    z_parameter,
)
from gantool.export.graph.cause import cause_of
from gantool.export.graph.matching import (
    RGBA_NOTE,
    ImageOutput,
    Layout,
    Output,
    advice_from_shapes,
    is_label_name,
    is_setting_name,
    label_index,
    pick_images,
)
from gantool.runtime.errors import GantoolError

MAX_DEPTH = 4  # of nested outputs: an object may contain itself
ZForm = Literal["rows", "columns", "list", "tokens"]
Z_FORMS: dict[ZForm, str] = {  # as messages show them, for a batch of 2
    "rows": "z [2, {}]",
    "columns": "z [2, {}, 1, 1]",
    "list": "a list of z [2, {}]",
    "tokens": "z [2, 1, {}]",
}
LabelForm = Literal["numbers", "one-hot", "one-hot columns", "column", "float column"]
LABEL_FORMS: dict[LabelForm, str] = {  # shapes of 10 classes, and the notes that are logged
    "numbers": "",  # int64 [N]
    "one-hot": "labels go in one-hot",  # float32 [N, 10]
    "one-hot columns": "labels go in one-hot, [N, classes, 1, 1]",
    "column": "labels go in as [N, 1]",
    "float column": "labels go in as floats [N, 1]",
}


class CallConvention(NamedTuple):
    """How a module expects its inputs."""

    z_form: ZForm = "rows"
    label_form: LabelForm = "numbers"
    classes: int = 0
    names: tuple[str, ...] | None = None  # keyword arguments for z and label; None: positional


@dataclass(frozen=True)
class AdaptedGenerator:
    """A module with gantool's interface, and notes on what was adapted."""

    module: nn.Module
    image: tuple[int, int, int]  # H, W, C
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Attempts:
    """The calls that were tried without finding images."""

    outputs: list[tuple[ZForm, Any]] = field(default_factory=list)
    errors: list[tuple[ZForm, Exception]] = field(default_factory=list)


class Adapter(nn.Module):
    """Call a generator by its convention, and extract the images from its output."""

    def __init__(
        self, inner: nn.Module, call: CallConvention, path: tuple[Any, ...] = (), layout: Layout = "NCHW"
    ) -> None:
        super().__init__()
        self.inner = inner
        self.call, self.path, self.layout = call, path, layout

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        images: Tensor = _follow(self.raw_output(z, label), self.path)
        if self.layout == "NHWC":
            return images.permute(0, 3, 1, 2)
        return images[:, None] if self.layout == "NHW" else images  # [N, C, H, W]

    def raw_output(self, z: Tensor, label: Tensor | None) -> Any:
        """Return everything that the generator returns."""
        z = z.clone()  # a forward may change z in place, and the caller may need it again
        value: Any = z
        if self.call.z_form == "columns":
            value = z[:, :, None, None]
        elif self.call.z_form == "tokens":
            value = z[:, None]
        elif self.call.z_form == "list":
            value = [z]
        values = (value,) if label is None else (value, _encode_label(label.clone(), self.call))
        if self.call.names is None:
            return self.inner(*values)
        return self.inner(**dict(zip(self.call.names, values, strict=True)))


def unwrap(module: nn.Module) -> nn.Module:
    """Return the generator inside DataParallel and torch.compile, since torch does not export these wrappers."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def find_interface(
    module: nn.Module, z: Tensor, label: Tensor | None, classes: int, name: str
) -> AdaptedGenerator:
    """Call `module` with z [2, L] and label [2] in each form until its output holds images, and adapt it.

    Raises GantoolError, with what was found and what to change, if no call gives images [N, 1, 3 or 4, H, W].
    """
    names = _parameter_names(module, name) if label is not None else z_parameter(module)
    attempts = _Attempts()
    for call in (CallConvention(z, form, classes, names) for z in Z_FORMS for form in _label_forms(label)):
        try:
            with torch.no_grad():
                output = Adapter(module, call).raw_output(z, label)
        except SystemExit as error:
            raise GantoolError(
                f"the forward of {name} exits Python ({cause_of(error)}): remove that exit"
            ) from error
        except Exception as error:  # the module may raise anything
            if call.label_form == "numbers":
                attempts.errors.append((call.z_form, error))
            continue
        found = pick_images(_float_tensors(output), len(z))
        if len(found) == 1:
            return _adapt(module, call, output, found[0], _mutates_inputs(module, call, z, label))
        attempts.outputs.append((call.z_form, output))
    reason = _failure(module, z, label, names, attempts)
    raise GantoolError(f"{name} does not make images [N, 1, 3 or 4, H, W]: {reason}")


def _encode_label(label: Tensor, call: CallConvention) -> Tensor:
    if call.label_form.startswith("one-hot"):
        rows = (label[:, None] == torch.arange(call.classes)).float()  # [N, classes]
        return rows[:, :, None, None] if call.label_form == "one-hot columns" else rows
    if call.label_form == "numbers":
        return label
    return label[:, None] if call.label_form == "column" else label[:, None].float()


def _follow(output: Any, path: tuple[Any, ...]) -> Any:
    """Return the element of `output` at `path`: keys, indices and attribute names."""
    for key in path:
        output = output[key] if isinstance(output, Mapping) or isinstance(key, int) else getattr(output, key)
    return output


def _mutates_inputs(module: nn.Module, call: CallConvention, z: Tensor, label: Tensor | None) -> bool:
    """Return whether forward changes its inputs in place, as z.mul_(2) does."""
    inputs = [z.clone()] if label is None else [z.clone(), label.clone()]
    if call != CallConvention(classes=call.classes):
        return False  # the Adapter clones the inputs
    with torch.no_grad():
        module(*inputs)
    pairs = zip(inputs, (z, label), strict=False)
    return any(before is not None and not torch.equal(after, before) for after, before in pairs)


def _label_forms(label: Tensor | None) -> tuple[LabelForm, ...]:
    return ("numbers",) if label is None else tuple(LABEL_FORMS)


def _adapt(
    module: nn.Module, call: CallConvention, output: Any, images: ImageOutput, mutates: bool
) -> AdaptedGenerator:
    """Wrap the module in an Adapter, unless it has gantool's interface already."""
    path, layout, (channels, height, width) = images.output.path, images.layout, images.size
    notes = list[str]()
    if path:
        notes.append(f"it returns {_describe(output)}; gantool takes output{_subscripts(path)}")
    notes += ["z goes in as a list"] * (call.z_form == "list")
    notes += ["z goes in as [N, 1, latent]"] * (call.z_form == "tokens")
    if call.names:
        notes.append(
            ", ".join(f"{what} as {n}" for what, n in zip(("z goes in", "labels"), call.names, strict=False))
        )
    notes += [LABEL_FORMS[call.label_form]] * (call.label_form != "numbers")
    notes += [f"its images are [{', '.join(layout)}]"] * (layout != "NCHW")
    notes += [RGBA_NOTE] * (channels == 4)
    plain = (call.z_form, call.label_form, call.names, path, layout) == ("rows", "numbers", None, (), "NCHW")
    # torch.export needs a forward with named parameters, and a z that forward does not change
    if not plain or takes_varargs(module) or mutates:
        module = Adapter(module, call, path, layout)
    return AdaptedGenerator(module.eval(), (height, width, channels), tuple(notes))


def _failure(
    module: nn.Module, z: Tensor, label: Tensor | None, names: tuple[str, ...] | None, attempts: _Attempts
) -> str:
    """Say what a module does instead of making images, and what to change."""
    hint, latent = advice_from_signature(module, label is not None), z.shape[1]
    if attempts.outputs:
        z_form, output = attempts.outputs[0]
        text = f"of {Z_FORMS[z_form].format(latent)} it makes {_describe(output)}"
        hint = _advice_from_output(output, len(z)) or hint
    else:
        hint = hint or advice_from_first_layer(
            module, latent, lambda: Adapter(module, CallConvention(names=names)).raw_output(z, label)
        )
        hint = hint or advice_from_optional_label(module, label is not None)
        causes = [(Z_FORMS[z_form].format(latent), cause_of(error)) for z_form, error in attempts.errors[:2]]
        once = hint or causes[0][1] == causes[1][1]
        text = "; ".join(f"with {called} it fails: {cause}" for called, cause in causes[: 1 if once else 2])
    return f"{text}{f'. {hint}' if hint else ''}"


def _float_tensors(output: Any, path: tuple[Any, ...] = ()) -> Iterator[Output]:
    """Yield the float tensors in a module's output, each with its path."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield Output(path, output)
        return
    for key, item in _items(output) if len(path) < MAX_DEPTH else ():
        yield from _float_tensors(item, (*path, key))


def _items(output: Any) -> Iterable[tuple[Any, Any]]:
    """Return the (key, item) pairs of a dict, sequence, NamedTuple, dataclass or object with attributes."""
    if isinstance(output, Mapping):
        return output.items()
    if isinstance(output, list | tuple):
        names = getattr(output, "_fields", range(len(output)))
        return zip(names, output, strict=True)
    if is_dataclass(output):
        return ((field.name, getattr(output, field.name)) for field in fields(output))
    return [pair for pair in getattr(output, "__dict__", {}).items() if not pair[0].startswith("_")]


def _subscripts(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path)


def _describe(output: Any) -> str:
    """Return a description for messages: "a tuple of [2, 3, 64, 64] and [2, 3, 32, 32]"."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f"{str(output.dtype).removeprefix('torch.')} "
        return f"{kind}{list(output.shape)}"
    inside = [
        ".".join(key for key in each.path if isinstance(key, str)) + f" {list(each.values.shape)}"
        for each in _float_tensors(output)
    ]
    kind = type(output).__name__
    return f"a {kind}" + (f" of {', '.join(text.strip() for text in inside[:6])}" if inside else "")


def _advice_from_output(output: Any, rows: int) -> str:
    """Return what to change in a generator whose output of `rows` samples is not images."""
    candidates = pick_images(_float_tensors(output), rows)
    if len(candidates) > 1:
        paths = ", ".join(f"output{_subscripts(each.output.path)}" for each in candidates)
        return f"Several of them may be images ({paths}): return only one of these"
    if isinstance(output, Tensor) and not output.is_floating_point():
        return "gantool does not take integers: return the floats before they are rounded"
    shapes = [each.output.values.shape for each in candidates] or [
        each.values.shape for each in _float_tensors(output)
    ]
    return advice_from_shapes(shapes, rows) or (
        "" if isinstance(output, Tensor) else "Return only the images"
    )


def _parameter_names(module: nn.Module, name: str) -> tuple[str, str] | None:
    """Return the parameters of forward for z and the label, or None if they are its first two, in this order.

    Raises GantoolError if no parameter of forward can be a label.
    """
    parameters = named_parameters(module)
    names = [each.name for each in parameters]
    if len(names) < 2:
        return None
    labels = [each for each in names if is_label_name(each)]
    first = label_index(*names[:2])
    label = names[1 if first is None else first]
    if label not in labels and len(labels) == 1:
        label = labels[0]
    if is_setting_name(label):
        raise GantoolError(
            f"{name}: forward takes {', '.join(names)}, and none of these is a label: leave out `classes`"
        )
    z = next(each for each in names if each != label)
    positional = all(each.kind != each.KEYWORD_ONLY for each in parameters[:2])
    return None if (z, label) == tuple(names[:2]) and positional else (z, label)

"""Match the inputs of an ONNX graph from elsewhere to z and the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantool.export.graph.matching import Layout, is_label_name, is_setting_name, label_index
from gantool.export.options import Foreign
from gantool.runtime.errors import GantoolError, UsageError

Dim = int | str | None  # a str or None: dynamic
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
INTEGERS = {
    f"tensor({kind})": getattr(np, kind) for kind in ("int64", "int32", "int16", "int8", "uint8", "uint16")
}
EXPECTED = (
    "expected one float input for z, [N, latent] or [N, latent, 1, 1], perhaps a label, [N] or one-hot "
    "[N, classes], and one float output with images, [N, C, H, W] or [N, H, W, C] with C 1, 3 or 4, or [N, H, W]"
)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output as the graph declares it."""

    name: str
    type: str  # in ONNX Runtime's notation: tensor(float)
    shape: tuple[Dim, ...] | None  # None: the graph does not declare a shape

    def __str__(self) -> str:
        kind = self.type[7:-1] if self.type.startswith("tensor(") else self.type
        dims = (
            "any shape" if self.shape is None else ", ".join("?" if d is None else str(d) for d in self.shape)
        )
        return f"{self.name} {kind} [{dims}]"

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The shape without the batch axis."""
        return (self.shape or ())[1:]

    @property
    def is_vector(self) -> bool:
        """Whether at most one axis besides the batch has a fixed size other than 1."""
        if self.shape is None:
            return True
        return len(self.shape) > 0 and sum(isinstance(dim, int) and dim != 1 for dim in self.dims) <= 1

    @property
    def is_partly_dynamic(self) -> bool:
        """Whether one axis has a fixed size other than 1 and another axis is dynamic."""
        return self.columns not in (None, 1) and not all(isinstance(dim, int) for dim in self.dims)

    @property
    def columns(self) -> int | None:
        """The number of values per sample; None if it is dynamic."""
        fixed = [dim for dim in self.dims if isinstance(dim, int) and dim != 1]
        is_dynamic = self.shape is None or any(not isinstance(dim, int) for dim in self.dims)
        return fixed[0] if fixed else None if is_dynamic else 1


@dataclass(frozen=True)
class InputFormat:
    """The name, shape and type in which the graph takes an input."""

    name: str
    shape: tuple[int, ...]  # without the batch axis
    dtype: Any  # a NumPy type


@dataclass(frozen=True)
class GeneratorInputs:
    """The inputs of a generator graph."""

    batch: int  # 0: any
    z: InputFormat
    latent: int
    label: InputFormat | None
    one_hot: bool  # the label is a one-hot row instead of a class number


@dataclass(frozen=True)
class GeneratorInterface:
    """The inputs of a generator graph, and the output that holds the images."""

    inputs: GeneratorInputs
    images: str  # name of the output
    layout: Layout
    size: tuple[int, int, int]  # C, H, W


def match_inputs(path: Path, declared: Sequence[TensorInfo], foreign: Foreign) -> GeneratorInputs:
    """Find z and the label among the declared inputs of the graph `path`.

    Raises GantoolError, with the inputs and what to do, if they are not those of a generator, or if neither names
    nor shapes tell z from the label.
    """
    z, label = _z_and_label(path, declared, foreign)
    batches = {info.shape[0] for info in (z, label) if info and info.shape}
    fixed = sorted(dim for dim in batches if isinstance(dim, int))
    if len(fixed) > 1:
        raise GantoolError(
            f"{path} expects a different batch size on each input ({_listing(declared)}): export it with one"
        )
    shape = _z_shape(path, z, foreign)
    one_hot, label_shape = _label_form(path, label, foreign) if label else (False, ())
    return GeneratorInputs(
        fixed[0] if fixed else 0,
        InputFormat(z.name, shape, FLOATS[z.type]),
        int(np.prod(shape)),
        InputFormat(label.name, label_shape, {**FLOATS, **INTEGERS}[label.type]) if label else None,
        one_hot,
    )


def _listing(declared: Sequence[TensorInfo]) -> str:
    return "; ".join(map(str, declared)) or "nothing"


def _z_and_label(
    path: Path, declared: Sequence[TensorInfo], foreign: Foreign
) -> tuple[TensorInfo, TensorInfo | None]:
    """Return the infos of z and of the label. Raises GantoolError for other sets of inputs."""
    numeric = [info for info in declared if info.type in (*FLOATS, *INTEGERS) and info.shape != ()]
    floats = [info for info in numeric if info.type in FLOATS]
    # z may have dynamic axes besides its latent size, as in [N, 64, h, w]; a label may not
    odd = [
        info for info in numeric if not info.is_vector or (info.type in INTEGERS and info.is_partly_dynamic)
    ]
    if not floats or (len(declared) <= 2 and odd):
        raise GantoolError(f"{path} is not a generator: it takes {_listing(declared)}; {EXPECTED}")
    for info in declared:
        if info not in numeric and info.shape != () and is_label_name(info.name):
            raise GantoolError(
                f"{path} takes a label that is neither integer nor float ({info}): export it as one of these"
            )
    extra = [info for info in declared if info not in numeric or info in odd or is_setting_name(info.name)]
    if len(declared) > 2 or (len(declared) == 2 and extra):
        raise GantoolError(
            f"{path} takes {_listing(declared)}, and gantool feeds only z and one label. Fix the other inputs "
            f"inside the graph: an initializer named {(extra or declared)[-1].name} gives that input its value. "
            "Or export the graph again without them"
        )
    if len(declared) == 1:
        if foreign.classes:
            raise GantoolError(f"{path} has no input for a label ({_listing(declared)}): leave out `classes`")
        return declared[0], None
    label = _find_label(path, declared, foreign)
    if not foreign.classes:
        columns = label.columns if label.type in FLOATS and (label.columns or 0) > 1 else None
        count = f" {columns}" if columns else ", the number of its classes"
        if is_label_name(label.name):
            raise GantoolError(f"{path} has an input for a label ({label}): give `classes`{count}")
        raise GantoolError(f"{path} takes {label} besides z: if that is a label, give `classes`{count}")
    return next(info for info in declared if info is not label), label


def _find_label(path: Path, declared: Sequence[TensorInfo], foreign: Foreign) -> TensorInfo:
    """Return the label of two inputs: the integer one, else by name, else by shape."""
    integers = [info for info in declared if info.type in INTEGERS]
    if len(integers) == 1:
        return integers[0]
    if (index := label_index(declared[0].name, declared[1].name)) is not None:
        return declared[index]
    if not foreign.classes:
        raise GantoolError(
            f"{path} has two float inputs ({_listing(declared)}): if one is a label, give `classes`"
        )
    for columns in (foreign.classes, 1):
        fitting = [info for info in declared if info.columns == columns]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    candidates = "both could be" if fitting else "neither can be"
    raise GantoolError(
        f"{path} has two float inputs ({_listing(declared)}), and {candidates} the label of `classes` "
        f"{foreign.classes}: name them z and label, as input_names=['z', 'label'] of torch.onnx.export does"
    )


def _z_shape(path: Path, z: TensorInfo, foreign: Foreign) -> tuple[int, ...]:
    """Return the shape of z without the batch; --latent gives the size if the graph leaves it dynamic."""
    dims = z.dims if z.shape is not None else (None,)
    is_dynamic = [not isinstance(dim, int) for dim in dims]
    if z.columns is None or z.shape is None:
        if foreign.latent is None:
            raise GantoolError(f"{path} has a dynamic latent size ({z}): give `latent`")
        first = is_dynamic.index(True)
        return tuple(
            foreign.latent if index == first else dim if isinstance(dim, int) else 1
            for index, dim in enumerate(dims)
        )
    if not dims:
        raise GantoolError(f"{path} takes z without a batch ({z}); {EXPECTED}")
    if foreign.latent not in (None, z.columns):
        raise UsageError(f"{path} has a latent size of {z.columns} already: leave out `latent`")
    return tuple(dim if isinstance(dim, int) else 1 for dim in dims)


def _label_form(path: Path, label: TensorInfo, foreign: Foreign) -> tuple[bool, tuple[int, ...]]:
    """Return whether the label is one-hot, and its shape without the batch."""
    columns, dims = label.columns, label.dims
    if columns is None and label.type in FLOATS:
        ones = (1,) * (len(dims) - 1)
        return True, (foreign.classes, *ones)
    if columns in (None, 1):
        return False, (1,) * len(dims)
    if label.is_partly_dynamic:
        raise GantoolError(f"{path} takes {label}, which is neither z nor a label; {EXPECTED}")
    if columns != foreign.classes:
        raise GantoolError(
            f"{path} has a label of {columns} columns ({label}), and `classes` is {foreign.classes}: give "
            f"`classes` {columns} if each column is a class"
        )
    return True, tuple(dim for dim in dims if isinstance(dim, int))

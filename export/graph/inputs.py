"""The inputs of a graph that was made elsewhere: which is z, which the label, and in which form they go in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gantool.export.graph.matching import Layout, label_of, says_label, says_setting
from gantool.export.options import Foreign
from gantool.runtime.errors import GantoolError, UsageError

Side = int | str | None
FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
INTEGERS = {
    f"tensor({kind})": getattr(np, kind) for kind in ("int64", "int32", "int16", "int8", "uint8", "uint16")
}
EXPECTED = (
    "expected one float input for z, [N, latent] or [N, latent, 1, 1], perhaps a label, [N] or one-hot "
    "[N, classes], and one float output with images, [N, C, H, W] or [N, H, W, C] with C 1 or 3, or [N, H, W]"
)


@dataclass(frozen=True)
class Given:
    """An input or an output as a graph declares it."""

    name: str
    type: str  # as ONNX Runtime writes it: tensor(float)
    shape: tuple[Side, ...] | None  # None: the graph does not say

    def __str__(self) -> str:
        kind = self.type[7:-1] if self.type.startswith("tensor(") else self.type
        sides = (
            "any shape" if self.shape is None else ", ".join("?" if s is None else str(s) for s in self.shape)
        )
        return f"{self.name} {kind} [{sides}]"

    @property
    def sides(self) -> tuple[Side, ...]:
        """The shape behind the batch."""
        return (self.shape or ())[1:]

    @property
    def is_vector(self) -> bool:
        """Whether it has a batch and at most one axis behind it that is neither 1 nor open."""
        if self.shape is None:
            return True
        return len(self.shape) > 0 and sum(isinstance(side, int) and side != 1 for side in self.sides) <= 1

    @property
    def is_partly_open(self) -> bool:
        """Whether it has sides of a size and others that are open."""
        return self.columns not in (None, 1) and not all(isinstance(side, int) for side in self.sides)

    @property
    def columns(self) -> int | None:
        """How many numbers it has in a row; None if that is open."""
        fixed = [side for side in self.sides if isinstance(side, int) and side != 1]
        is_open = self.shape is None or any(not isinstance(side, int) for side in self.sides)
        return fixed[0] if fixed else None if is_open else 1


@dataclass(frozen=True)
class Input:
    """An input of a graph as it is fed."""

    name: str
    shape: tuple[int, ...]  # behind the batch
    dtype: Any  # NumPy's


class Inputs(NamedTuple):
    """What a graph takes."""

    batch: int  # 0: any
    z: Input
    latent: int
    label: Input | None
    one_hot: bool  # whether the label is a row with 1 for its class, in place of the number of the class


@dataclass(frozen=True)
class Matched:
    """The inputs and the output of a graph that make it a generator."""

    inputs: Inputs
    images: str
    layout: Layout
    size: tuple[int, int, int]  # C, H, W


def shown(values: Sequence[Given]) -> str:
    """Return inputs or outputs as messages have them."""
    return "; ".join(map(str, values)) or "nothing"


def match_inputs(path: Path, given: Sequence[Given], foreign: Foreign) -> Inputs:
    """Find z and the label among the inputs of the graph of `path`.

    Raises GantoolError, naming the inputs and what to do, where they are not those of a generator or where neither
    names nor shapes say which is which.
    """
    z, label = _roles(path, given, foreign)
    batches = {value.shape[0] for value in (z, label) if value and value.shape}
    fixed = sorted(side for side in batches if isinstance(side, int))
    if len(fixed) > 1:
        raise GantoolError(f"{path} wants another batch for each input ({shown(given)}): export it with one")
    shape = _shape_of_z(path, z, foreign)
    one_hot, label_shape = _form_of(path, label, foreign) if label else (False, ())
    return Inputs(
        fixed[0] if fixed else 0,
        Input(z.name, shape, FLOATS[z.type]),
        int(np.prod(shape)),
        Input(label.name, label_shape, {**FLOATS, **INTEGERS}[label.type]) if label else None,
        one_hot,
    )


def _roles(path: Path, given: Sequence[Given], foreign: Foreign) -> tuple[Given, Given | None]:
    """Return z and the label."""
    fed = [value for value in given if value.type in (*FLOATS, *INTEGERS) and value.shape != ()]
    floats = [value for value in fed if value.type in FLOATS]
    # A batch of z may have open sides beside its latent size, as [N, 64, h, w], a label may not
    odd = [each for each in fed if not each.is_vector or (each.type in INTEGERS and each.is_partly_open)]
    if not floats or (len(given) <= 2 and odd):
        raise GantoolError(f"{path} is not a generator: it takes {shown(given)}; {EXPECTED}")
    for value in given:
        if value not in fed and value.shape != () and says_label(value.name):
            raise GantoolError(
                f"{path} takes a label that is neither integers nor floats ({value}): export it with these"
            )
    rest = [value for value in given if value not in fed or value in odd or says_setting(value.name)]
    if len(given) > 2 or (len(given) == 2 and rest):
        raise GantoolError(
            f"{path} takes {shown(given)}, and gantool gives it z and one label alone. Fix the rest inside "
            f"the graph: an initializer named {(rest or given)[-1].name} gives that input its value. Or export it "
            "again without"
        )
    if len(given) == 1:
        if foreign.classes:
            raise GantoolError(f"{path} has no input for a label ({shown(given)}): leave out `classes`")
        return given[0], None
    label = _label(path, given, foreign)
    if not foreign.classes:
        columns = label.columns if label.type in FLOATS and (label.columns or 0) > 1 else None
        count = f" {columns}" if columns else ", how many it knows"
        if says_label(label.name):
            raise GantoolError(f"{path} has an input for a label ({label}): give `classes`{count}")
        raise GantoolError(f"{path} takes {label} beside z: if that is a label, give `classes`{count}")
    return next(value for value in given if value is not label), label


def _label(path: Path, given: Sequence[Given], foreign: Foreign) -> Given:
    """Return the label of two inputs: the one of integers, else by the names, else by the shapes."""
    integers = [value for value in given if value.type in INTEGERS]
    if len(integers) == 1:
        return integers[0]
    if (which := label_of(given[0].name, given[1].name)) is not None:
        return given[which]
    if not foreign.classes:
        raise GantoolError(f"{path} has two float inputs ({shown(given)}): if one is a label, give `classes`")
    for columns in (foreign.classes, 1):
        fitting = [value for value in given if value.columns == columns]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    both = "both may be" if fitting else "neither is"
    raise GantoolError(
        f"{path} has two float inputs ({shown(given)}), and {both} the label of `classes` {foreign.classes}: name "
        "them z and label, as input_names=['z', 'label'] of torch.onnx.export does"
    )


def _shape_of_z(path: Path, z: Given, foreign: Foreign) -> tuple[int, ...]:
    """Return the shape of z behind the batch, with --latent where the graph leaves that open."""
    sides = z.sides if z.shape is not None else (None,)
    is_open = [not isinstance(side, int) for side in sides]
    if z.columns is None or z.shape is None:
        if foreign.latent is None:
            raise GantoolError(f"{path} leaves the latent size open ({z}): give `latent`, its size")
        first = is_open.index(True)
        return tuple(
            foreign.latent if index == first else side if isinstance(side, int) else 1
            for index, side in enumerate(sides)
        )
    if not sides:
        raise GantoolError(f"{path} takes z without a batch ({z}); {EXPECTED}")
    if foreign.latent not in (None, z.columns):
        raise UsageError(f"{path} has a latent size of {z.columns} already: leave out `latent`")
    return tuple(side if isinstance(side, int) else 1 for side in sides)


def _form_of(path: Path, label: Given, foreign: Foreign) -> tuple[bool, tuple[int, ...]]:
    """Return whether the label goes in one-hot, and its shape behind the batch."""
    columns, sides = label.columns, label.sides
    if columns is None and label.type in FLOATS:
        ones = (1,) * (len(sides) - 1)
        return True, (foreign.classes, *ones)
    if columns in (None, 1):
        return False, (1,) * len(sides)
    if label.is_partly_open:
        raise GantoolError(f"{path} takes {label}, which is neither z nor a label; {EXPECTED}")
    if columns != foreign.classes:
        raise GantoolError(
            f"{path} has a label of {columns} columns ({label}), and `classes` says {foreign.classes}: give "
            f"`classes` {columns} if they are its classes"
        )
    return True, tuple(side for side in sides if isinstance(side, int))

"""A graph that was made elsewhere, run as it is: what its inputs and outputs are, and the images that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from gantool.export.behaviour import SEEDS, in_unit, problem
from gantool.export.emulate import Arrays
from gantool.export.external import tensors
from gantool.export.options import Foreign
from gantool.runtime.apart import level_that_works, settings_of
from gantool.runtime.backends.quiet import import_onnxruntime, run_options
from gantool.runtime.cpus import limit
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.interrupt import stopped

BATCH = 16  # of a graph that takes any
Layout = Literal["NCHW", "NHWC", "NHW"]
_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_EXPECTED = (
    "expected one float input for z, [N, latent] or [N, latent, 1, 1], perhaps a label, integers [N] or one-hot "
    "floats [N, classes], and one output with images, [N, C, H, W] or [N, H, W, C] with C 1 or 3, or [N, H, W]"
)


@dataclass(frozen=True)
class Input:
    """An input of a graph."""

    name: str
    shape: tuple[int, ...]  # behind the batch
    dtype: Any  # NumPy's


@dataclass(frozen=True)
class Doors:
    """The inputs and the output of a graph that make it a generator."""

    batch: int  # 0: any
    z: Input
    latent: int
    label: Input | None  # integers, or one-hot floats
    images: str
    layout: Layout
    size: tuple[int, int, int]  # C, H, W

    @property
    def one_hot(self) -> bool:
        """Whether the label is a row of floats, 1 for its class."""
        return self.label is not None and self.label.dtype in _FLOATS.values()


class Original:
    """A graph from elsewhere in a session of ONNX Runtime."""

    def __init__(self, path: Path, model: onnx.ModelProto, foreign: Foreign) -> None:
        """Raise GantoolError, naming the graph's own inputs and outputs, if it is no generator."""
        data = model.SerializeToString()
        try:
            onnxruntime = import_onnxruntime()
        except ModuleNotFoundError as error:
            raise MissingDependencyError("onnxruntime", "cpu", f"running {path.name}") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = limit()
        level = level_that_works(path, data)
        options.graph_optimization_level = settings_of(level)
        # Q/DQ as the graph has it: the integer kernels that ONNX Runtime puts in its place saturate on some CPUs.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self._path, self._foreign = path, foreign
        low = (
            onnx.TensorProto.FLOAT16,
            onnx.TensorProto.BFLOAT16,
            onnx.TensorProto.INT8,
            onnx.TensorProto.UINT8,
        )
        self.coarse = any(tensor.data_type in low for tensor in tensors(model))  # rounds its values
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of its own for each kind
            raise GantoolError(f"ONNX Runtime does not run {path}: {_line(error)}; export it anew") from error
        batch, z, latent, label = _inputs(path, self._session, foreign)
        rows = batch or 2
        feeds = {"z": np.random.RandomState(0).randn(rows, latent), "label": np.zeros(rows, np.int64)}
        found = self._run(_feeds(z, label, feeds), None)
        images, layout, size = _images(path, self._session, found, rows)
        self.doors = Doors(batch, z, latent, label, images, layout, size)

    def images(self, feeds: Arrays) -> NDArray[np.float32]:
        """Return the images of z and label, float32 [N, C, H, W] in [-1, 1].

        Raises GantoolError if the graph behaves as no generator does.
        """
        size = self.doors.batch or BATCH
        images = self._batches(feeds, size)
        few = {name: value[: len(SEEDS)] for name, value in feeds.items()}
        alone = self._batches(few, self.doors.batch or 1)
        same = {name: value[: max(size, len(SEEDS))] for name, value in feeds.items()}
        again = self._batches(same, size)  # in the same batches
        if found := problem(images[: len(SEEDS)], again[: len(SEEDS)], alone, foreign=self._foreign):
            raise GantoolError(f"{self._path} {found}")
        return in_unit(images, self._foreign)

    def _batches(self, feeds: Arrays, size: int) -> NDArray[np.float32]:
        """Return the images of all rows, `size` at a time."""
        parts = []
        total = len(feeds["z"])
        for start in range(0, total, size):
            taken = np.arange(start, start + size) % total
            rows = _feeds(
                self.doors.z, self.doors.label, {name: value[taken] for name, value in feeds.items()}
            )
            parts.append(self._run(rows, [self.doors.images])[0][: total - start])
        images = np.concatenate(parts)
        if self.doors.layout == "NHWC":
            images = images.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images.reshape(total, *self.doors.size), np.float32)

    def _run(self, feeds: Arrays, names: Sequence[str] | None) -> list[NDArray[Any]]:
        try:
            values: list[NDArray[Any]] = self._session.run(names, feeds, run_options())
        except Exception as error:
            if stopped():
                raise KeyboardInterrupt from error
            raise GantoolError(
                f"ONNX Runtime does not run {self._path}: {_line(error)}. Export it with a dynamic batch if one is "
                "fixed inside; --classes must be as many as it knows, and --latent its latent size"
            ) from error
        return values


def _inputs(path: Path, session: Any, foreign: Foreign) -> tuple[int, Input, int, Input | None]:
    """Return the batch (0: any), z, its latent size, and the label."""
    found = session.get_inputs()
    floats = [value for value in found if value.type in _FLOATS and 2 <= len(value.shape) <= 4]
    integers = [value for value in found if value.type in _INTEGERS and _is_label(value.shape)]
    rows = [value for value in floats if len(value.shape) == 2]
    if len(floats) == 2 == len(found) and rows:  # a one-hot label
        if not foreign.classes:
            raise GantoolError(
                f"{path} has two float inputs ({_shown(found)}): if one is a one-hot label, give --classes"
            )
        fitting = [value for value in rows if value.shape[1] == foreign.classes] or rows[-1:]
        integers = fitting[-1:]
        floats = [value for value in floats if value is not integers[0]]
    if len(floats) != 1 or len(floats) + len(integers) != len(found):
        raise _no_generator(path, session)
    if (foreign.classes > 0) != bool(integers):
        raise GantoolError(
            f"{path} has {'an' if integers else 'no'} input for a label: "
            + (
                f"give --classes, how many it knows ({integers[0].name})"
                if integers
                else "leave out --classes"
            )
        )
    z = floats[0]
    batch, *rest = z.shape
    open_axes = [index for index, side in enumerate(rest) if not isinstance(side, int)]
    if open_axes:
        if foreign.latent is None:
            raise GantoolError(
                f"{path} leaves the latent size open ({_shown(found)}): give --latent, its size"
            )
        rest = [
            side if isinstance(side, int) else foreign.latent if index == open_axes[0] else 1
            for index, side in enumerate(rest)
        ]
    elif foreign.latent is not None:
        raise UsageError(f"{path} has its latent size inside: leave out --latent")
    if len([side for side in rest if side != 1]) > 1:
        raise _no_generator(path, session)
    label = None
    if integers:
        shape = (foreign.classes,) if integers[0].type in _FLOATS else (1,) * (len(integers[0].shape) - 1)
        kinds = {**_FLOATS, **_INTEGERS}
        label = Input(integers[0].name, shape, kinds[integers[0].type])
    fixed = batch if isinstance(batch, int) else 0
    return fixed, Input(z.name, tuple(rest), _FLOATS[z.type]), int(np.prod(rest)), label


def _is_label(shape: list[Any]) -> bool:
    return len(shape) == 1 or ((len(shape) == 2 and shape[1] in (1, None)) or isinstance(shape[-1], str))


def _images(
    path: Path, session: Any, found: list[NDArray[Any]], rows: int
) -> tuple[str, Layout, tuple[int, int, int]]:
    """Return the name of the output with images, their layout, and [C, H, W]."""
    fitting: list[tuple[str, Layout, tuple[int, int, int]]] = []
    for value, array in zip(session.get_outputs(), found, strict=True):
        if value.type not in _FLOATS or len(array) != rows:
            continue
        match array.shape[1:]:
            case (1 | 3 as channels, height, width):
                fitting.append((value.name, "NCHW", (channels, height, width)))
            case (height, width, 1 | 3 as channels):
                fitting.append((value.name, "NHWC", (channels, height, width)))
            case (height, width) if min(height, width) > 1:
                fitting.append((value.name, "NHW", (1, height, width)))
    if len(fitting) > 1:
        names = ", ".join(name for name, *_ in fitting)
        raise GantoolError(
            f"{path} has several outputs that may be images ({names}): export it with one of them"
        )
    if not fitting:
        raise _no_generator(path, session)
    return fitting[0]


def _feeds(z: Input, label: Input | None, feeds: Arrays) -> Arrays:
    """Return what the graph is given for z [n, latent] and label [n]."""
    rows = {z.name: feeds["z"].reshape(-1, *z.shape).astype(z.dtype)}
    if label is not None:
        classes = feeds["label"]
        if label.dtype in _FLOATS.values():
            rows[label.name] = np.eye(label.shape[0], dtype=label.dtype)[classes]
        else:
            rows[label.name] = classes.reshape(-1, *label.shape).astype(label.dtype)
    return rows


def _no_generator(path: Path, session: Any) -> GantoolError:
    values = [*session.get_inputs(), *session.get_outputs()]
    return GantoolError(f"{path} is not a generator: it has {_shown(values)}; {_EXPECTED}")


def _shown(values: Sequence[Any]) -> str:
    return "; ".join(
        f"{value.name} {value.type[7:-1]} [{', '.join(map(str, value.shape))}]" for value in values
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

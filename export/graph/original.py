"""A graph that was made elsewhere, run as it is: what its inputs and outputs are, and the images that it makes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from gantool.export.graph.external import tensors
from gantool.export.graph.inputs import EXPECTED, FLOATS, Given, Inputs, Matched, match_inputs
from gantool.export.graph.matching import Images, Output, how_to_mend, pick
from gantool.export.graph.probe import SEEDS, cut, in_unit, problem
from gantool.export.options import Foreign
from gantool.export.precision.simulate import Arrays, open_probed
from gantool.runtime.backends.quiet import run_options
from gantool.runtime.backends.session import open_session, refused, said
from gantool.runtime.errors import GantoolError, MissingDependencyError
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.cpus import limit
from gantool.runtime.process.interrupt import stopped
from gantool.runtime.process.terminal import short

BATCH = 16  # of a graph that takes any


class Original:
    """A graph from elsewhere in a session of ONNX Runtime."""

    def __init__(self, path: Path, model: onnx.ModelProto, foreign: Foreign) -> None:
        """Raise GantoolError, naming the graph's own inputs and outputs, if it is no generator."""
        _check_mode(path, model)
        data = model.SerializeToString()
        level = level_that_works(path, data)
        self._path, self._foreign = path, foreign
        low = (
            onnx.TensorProto.FLOAT16,
            onnx.TensorProto.BFLOAT16,
            onnx.TensorProto.INT8,
            onnx.TensorProto.UINT8,
        )
        self.coarse = any(tensor.data_type in low for tensor in tensors(model))  # rounds its values
        try:
            self._session = open_session(data, limit(), level)
        except ModuleNotFoundError as error:
            raise MissingDependencyError("onnxruntime", "cpu", f"running {path.name}") from error
        except Exception as error:  # ONNX Runtime has a class of its own for each kind
            raise GantoolError(
                f"ONNX Runtime does not load {path}: {refused(error) or said(error)}"
            ) from error
        given, outputs = _given(model, self._session)
        if not outputs:
            raise GantoolError(f"{path} is not a generator: it has no output; {EXPECTED}")
        inputs = match_inputs(path, given, foreign)
        rows = inputs.batch or 2
        feeds = {"z": np.random.RandomState(0).randn(rows, inputs.latent), "label": np.zeros(rows, np.int64)}
        images = _images(path, outputs, self._run(_feeds(inputs, feeds), None), rows)
        (name,) = images.output.way
        self.matched = Matched(inputs, name, images.layout, images.size)
        self.notes = [f"of its outputs, {name} is taken"] if len(outputs) > 1 else []

    def images(self, feeds: Arrays) -> NDArray[np.float32]:
        """Return the images of z and label, float32 [N, C, H, W] in [-1, 1].

        Raises GantoolError if the graph behaves as no generator does.
        """
        size = self.matched.inputs.batch or BATCH
        images = self._batches(feeds, size)
        few = {name: value[: len(SEEDS)] for name, value in feeds.items()}
        alone = self._batches(few, self.matched.inputs.batch or 1)
        same = {name: value[: max(size, len(SEEDS))] for name, value in feeds.items()}
        again = self._batches(same, size)[: len(SEEDS)]  # in the same batches
        other = None
        if self._foreign.classes > 1:
            other = self._batches({**few, "label": (few["label"] + 1) % self._foreign.classes}, size)
        if found := problem(images[: len(SEEDS)], again, alone, other, self._foreign):
            raise GantoolError(f"{self._path} {found}")
        if self._foreign.clamp:
            self.notes.append(cut(images[: len(SEEDS)], self._foreign))
        return in_unit(images, self._foreign)

    def shapes(self, model: ir.Model, names: list[str]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of values of `model`, a later form of this graph; but for the batch, of any run.

        Raises GantoolError where they are not.
        """
        inputs, graph = self.matched.inputs, ir.to_proto(model)
        level_that_works(self._path, graph.SerializeToString())
        session = open_probed(graph, names)
        found: list[dict[str, tuple[int, ...]]] = []
        for rows in (inputs.batch,) if inputs.batch else (2, 3):
            z = np.random.RandomState(rows).randn(rows, inputs.latent)
            feeds = _feeds(inputs, {"z": z, "label": np.zeros(rows, np.int64)})
            try:
                values = session.run(names, feeds, run_options())
            except Exception as error:
                if stopped():
                    raise KeyboardInterrupt from error
                raise GantoolError(f"ONNX Runtime does not run {self._path}: {said(error)}") from error
            found.append({name: value.shape for name, value in zip(names, values, strict=True)})
        for name in names:
            if len({shapes[name][1:] for shapes in found}) > 1:
                raise GantoolError(
                    f"{self._path} makes a value {short(name)!r} of another size in another batch: export it with "
                    "explicit pads"
                )
        return found[0]

    def _batches(self, feeds: Arrays, size: int) -> NDArray[np.float32]:
        """Return the images of all rows, `size` at a time."""
        parts = []
        total = len(feeds["z"])
        for start in range(0, total, size):
            taken = np.arange(start, start + size) % total
            rows = _feeds(self.matched.inputs, {name: value[taken] for name, value in feeds.items()})
            parts.append(self._run(rows, [self.matched.images])[0][: total - start])
        images = np.concatenate(parts)
        if self.matched.layout == "NHWC":
            images = images.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images.reshape(total, *self.matched.size), np.float32)

    def _run(self, feeds: Arrays, names: Sequence[str] | None) -> list[NDArray[Any]]:
        try:
            values: list[NDArray[Any]] = self._session.run(names, feeds, run_options())
        except Exception as error:
            if stopped():
                raise KeyboardInterrupt from error
            why = said(error)
            raise GantoolError(
                f"ONNX Runtime does not run {self._path}: {why}{_advice(why, self._foreign)}"
            ) from error
        return values


def _check_mode(path: Path, model: onnx.ModelProto) -> None:
    """Raise GantoolError if a layer is in training mode: it draws anew, or takes its statistics of the batch."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    weights |= {
        node.output[0]: node.attribute[0].t
        for node in model.graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    for node in model.graph.node:
        flags = [attribute.i for attribute in node.attribute if attribute.name == "training_mode"]
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in weights:
            flags.append(onnx.numpy_helper.to_array(weights[node.input[2]]).any())
        if node.op_type in ("Dropout", "BatchNormalization") and any(flags):
            raise GantoolError(
                f"{path}: node {short(node.name or node.output[0])} ({node.op_type}) is in training mode: export "
                "the generator after .eval()"
            )


def _given(model: onnx.ModelProto, session: Any) -> tuple[list[Given], list[Given]]:
    """Return the inputs and the outputs; ONNX Runtime shows a shape that is not known as that of a number."""
    known = {
        value.name
        for value in (*model.graph.input, *model.graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    inputs, outputs = (
        [
            Given(value.name, value.type, tuple(value.shape) if value.shape or value.name in known else None)
            for value in values
        ]
        for values in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def _images(path: Path, outputs: Sequence[Given], found: list[Any], rows: int) -> Images:
    """Return the output with images."""
    arrays = [
        Output((output.name,), array)
        for output, array in zip(outputs, found, strict=True)
        if isinstance(array, np.ndarray) and array.dtype in FLOATS.values()
    ]
    images = pick(arrays, rows)
    made = "; ".join(_made(output, array) for output, array in zip(outputs, found, strict=True))
    if len(images) > 1:
        names = ", ".join(str(each.output.way[0]) for each in images)
        raise GantoolError(
            f"{path} has several outputs that may be images ({names}): export it with one of them, or name "
            f"that one image. It makes {made}"
        )
    if images and images[0].size[0] != 4:
        return images[0]
    hint = how_to_mend([array.values.shape for array in arrays], rows)
    if not hint and any(isinstance(array, np.ndarray) and array.dtype == np.uint8 for array in found):
        hint = "Integers are not taken: return the floats before they are rounded, and gantool rounds them"
    raise GantoolError(
        f"{path} is not a generator: with a batch of {rows} it makes {made or 'nothing'}; {EXPECTED}"
        + (f". {hint}. Then export it again" if hint else "")
    )


def _made(output: Given, value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return str(output)
    return f"{output.name} {value.dtype} {list(value.shape)}"


def _feeds(inputs: Inputs, feeds: Arrays) -> Arrays:
    """Return what the graph is given for z [n, latent] and label [n]."""
    z, label = inputs.z, inputs.label
    rows = {z.name: feeds["z"].reshape(-1, *z.shape).astype(z.dtype)}
    if label is not None:
        classes = feeds["label"]
        if inputs.one_hot:
            classes = np.eye(math.prod(label.shape))[classes]
        rows[label.name] = classes.reshape(-1, *label.shape).astype(label.dtype)
    return rows


def _advice(why: str, foreign: Foreign) -> str:
    """Say what to do where ONNX Runtime fails over the shape or the values of what it is given, else nothing."""
    if known := re.search(r"out of data bounds.*inclusive range \[-(\d+),", why):
        return f". If this is its table of labels, `classes` must be as many as it knows: {known[1]}"
    without_names = re.sub(r"Name:'[^']*'", "", why)
    if not re.search(r"dimension|shape|broadcast|rank", without_names, re.IGNORECASE):
        return ""
    flags = ["`classes` must be as many as it knows"] * (foreign.classes > 0)
    flags += ["`latent` must be its latent size"] * (foreign.latent is not None)
    return ". " + "; ".join(["Export it with a dynamic batch if one is fixed inside", *flags])

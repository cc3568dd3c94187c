"""Run an unchanged graph from elsewhere: find its inputs and outputs, and make its reference images."""

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
from gantool.export.graph.inputs import (
    EXPECTED,
    FLOATS,
    GeneratorInputs,
    GeneratorInterface,
    TensorInfo,
    match_inputs,
)
from gantool.export.graph.matching import RGBA_NOTE, ImageOutput, Output, advice_from_shapes, pick_images
from gantool.export.graph.probe import SEEDS, clamp_note, find_problem, to_unit_range
from gantool.export.options import Foreign
from gantool.export.precision.simulate import Arrays, open_probed
from gantool.runtime.backends.quiet import run_options
from gantool.runtime.backends.session import open_session, refused, said
from gantool.runtime.errors import GantoolError, MissingDependencyError
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.cpus import limit
from gantool.runtime.process.interrupt import stopped
from gantool.runtime.process.terminal import short

BATCH = 16  # for a graph with a dynamic batch


class Original:
    """A graph from elsewhere in a session of ONNX Runtime."""

    def __init__(self, path: Path, model: onnx.ModelProto, foreign: Foreign) -> None:
        """Raise GantoolError, with the graph's inputs and outputs, if it is not a generator."""
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
        self.reduced = any(tensor.data_type in low for tensor in tensors(model))  # it rounds values itself
        try:
            self._session = open_session(data, limit(), level)
        except ModuleNotFoundError as error:
            raise MissingDependencyError("onnxruntime", "cpu", f"running {path.name}") from error
        except Exception as error:  # ONNX Runtime's exception classes have no common base
            raise GantoolError(
                f"ONNX Runtime does not load {path}: {refused(error) or said(error)}"
            ) from error
        inputs_declared, outputs = _declared(model, self._session)
        if not outputs:
            raise GantoolError(f"{path} is not a generator: it has no output; {EXPECTED}")
        inputs = match_inputs(path, inputs_declared, foreign)
        rows = inputs.batch or 2
        feeds = {"z": np.random.RandomState(0).randn(rows, inputs.latent), "label": np.zeros(rows, np.int64)}
        images = _images(path, outputs, self._run(_graph_feeds(inputs, feeds), None), rows)
        (name,) = images.output.path
        self.interface = GeneratorInterface(inputs, name, images.layout, images.size)
        self.notes = [f"gantool takes its output {name}"] * (len(outputs) > 1)
        self.notes += [RGBA_NOTE] * (images.size[0] == 4)

    def images(self, feeds: Arrays) -> NDArray[np.float32]:
        """Return the images of z and label, float32 [N, C, H, W] in [-1, 1].

        Raises GantoolError if the graph does not behave as a generator.
        """
        size = self.interface.inputs.batch or BATCH
        images = self._batches(feeds, size)
        few = {name: value[: len(SEEDS)] for name, value in feeds.items()}
        alone = self._batches(few, self.interface.inputs.batch or 1)
        same = {name: value[: max(size, len(SEEDS))] for name, value in feeds.items()}
        again = self._batches(same, size)[: len(SEEDS)]  # in the same batches
        other = None
        if self._foreign.classes > 1:
            other = self._batches({**few, "label": (few["label"] + 1) % self._foreign.classes}, size)
        if found := find_problem(images[: len(SEEDS)], again, alone, other, self._foreign):
            raise GantoolError(f"{self._path} {found}")
        if self._foreign.clamp:
            self.notes.append(clamp_note(images[: len(SEEDS)], self._foreign))
        return to_unit_range(images, self._foreign)

    def shapes(self, model: ir.Model, names: list[str]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the values `names` of `model`, which is a converted form of this graph.

        Raises GantoolError if an axis other than the batch changes with the batch size.
        """
        inputs, graph = self.interface.inputs, ir.to_proto(model)
        level_that_works(self._path, graph.SerializeToString())
        session = open_probed(graph, names)
        found: list[dict[str, tuple[int, ...]]] = []
        for rows in (inputs.batch,) if inputs.batch else (2, 3):
            z = np.random.RandomState(rows).randn(rows, inputs.latent)
            feeds = _graph_feeds(inputs, {"z": z, "label": np.zeros(rows, np.int64)})
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
        """Return the images of all rows, float32 [N, C, H, W], run in batches of `size`."""
        parts = []
        total = len(feeds["z"])
        for start in range(0, total, size):
            taken = np.arange(start, start + size) % total
            rows = _graph_feeds(self.interface.inputs, {name: value[taken] for name, value in feeds.items()})
            parts.append(self._run(rows, [self.interface.images])[0][: total - start])
        images = np.concatenate(parts)
        if self.interface.layout == "NHWC":
            images = images.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images.reshape(total, *self.interface.size), np.float32)

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
    """Raise GantoolError if Dropout or BatchNorm is in training mode: images would be random or batch-dependent."""
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


def _declared(model: onnx.ModelProto, session: Any) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """Return the declared inputs and outputs. ONNX Runtime reports an undeclared shape as a scalar's, []."""
    known = {
        value.name
        for value in (*model.graph.input, *model.graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    inputs, outputs = (
        [
            TensorInfo(
                value.name, value.type, tuple(value.shape) if value.shape or value.name in known else None
            )
            for value in values
        ]
        for values in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def _images(path: Path, outputs: Sequence[TensorInfo], found: list[Any], rows: int) -> ImageOutput:
    """Return the output with images."""
    arrays = [
        Output((output.name,), array)
        for output, array in zip(outputs, found, strict=True)
        if isinstance(array, np.ndarray) and array.dtype in FLOATS.values()
    ]
    images = pick_images(arrays, rows)
    made = "; ".join(_describe_output(output, array) for output, array in zip(outputs, found, strict=True))
    if len(images) > 1:
        names = ", ".join(str(each.output.path[0]) for each in images)
        raise GantoolError(
            f"{path} has several outputs that may be images ({names}): export it with one of them, or rename "
            f"that output to image. It makes {made}"
        )
    if images:
        return images[0]
    hint = advice_from_shapes([array.values.shape for array in arrays], rows)
    if not hint and any(isinstance(array, np.ndarray) and array.dtype == np.uint8 for array in found):
        hint = "gantool does not take integers: return the floats before they are rounded"
    raise GantoolError(
        f"{path} is not a generator: with a batch of {rows} it makes {made or 'nothing'}; {EXPECTED}"
        + (f". {hint}. Then export it again" if hint else "")
    )


def _describe_output(output: TensorInfo, value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return str(output)
    return f"{output.name} {value.dtype} {list(value.shape)}"


def _graph_feeds(inputs: GeneratorInputs, feeds: Arrays) -> Arrays:
    """Return the feeds of the graph for z [n, latent] and label [n]."""
    z, label = inputs.z, inputs.label
    rows = {z.name: feeds["z"].reshape(-1, *z.shape).astype(z.dtype)}
    if label is not None:
        classes = feeds["label"]
        if inputs.one_hot:
            classes = np.eye(math.prod(label.shape))[classes]
        rows[label.name] = classes.reshape(-1, *label.shape).astype(label.dtype)
    return rows


def _advice(why: str, foreign: Foreign) -> str:
    """Return advice if ONNX Runtime fails on the shape or the range of an input, else ""."""
    if known := re.search(r"out of data bounds.*inclusive range \[-(\d+),", why):
        return f". If this is its embedding of labels, `classes` must be its number of classes: {known[1]}"
    without_names = re.sub(r"Name:'[^']*'", "", why)
    if not re.search(r"dimension|shape|broadcast|rank", without_names, re.IGNORECASE):
        return ""
    flags = ["`classes` must be its number of classes"] * (foreign.classes > 0)
    flags += ["`latent` must be its latent size"] * (foreign.latent is not None)
    return ". " + "; ".join(["Export it with a dynamic batch if one is fixed inside", *flags])

"""Inputs and outputs of other people's generators: their names, shapes, types and number."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto
from onnx.helper import (
    make_function,
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_sequence_value_info,
    make_tensor_value_info,
)
from onnx.numpy_helper import from_array

from field.cases import Case, Folder
from gantool.runtime import Generator
from gantool.runtime.classes import labels
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import to_uint8

NONE = "--engine none -o g"
F, I64 = TensorProto.FLOAT, TensorProto.INT64
Value = tuple[str, int, list[Any] | None]


def _weights(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def small(
    z: Value = ("z", F, ["N", 8]),
    label: Value | None = None,
    form: str = "numbers",
    classes: int = 10,
    first: bool = False,  # the label before z
    more: Sequence[ValueInfoProto] = (),  # inputs that no node reads
    image: str = "image",
    last: Sequence[NodeProto] = (),  # nodes that make the outputs of `image`, [N, 3, 8, 8]
    outputs: Sequence[ValueInfoProto] = (),
    weights: dict[str, NDArray[Any]] | None = None,
    latent: int = 8,
    domain: str = "",
    size: tuple[int, ...] = (3, 8, 8),
    opset: int = 17,
    ir_version: int = 8,
) -> Folder:
    """Write o.onnx: tanh(z · w + what the label adds), 8×8×3."""
    total = int(np.prod(size))

    def prepare(folder: Path) -> None:
        arrays = {
            "w/": _weights(latent, total) / 3,
            "rows/": np.array([-1, latent]),
            "shape/": np.array([-1, *size]),
        }
        nodes = [
            make_node("Cast", [z[0]], ["z32/"], to=F),
            make_node("Reshape", ["z32/", "rows/"], ["zr/"]),
            make_node("MatMul", ["zr/", "w/"], ["x/"]),
        ]
        inputs = [make_tensor_value_info(*z)]
        if label:
            inputs.insert(0 if first else 1, make_tensor_value_info(*label))
            arrays["table/"] = _weights(classes, 192, seed=1)
            if form == "one-hot":
                arrays["columns/"] = np.array([-1, classes])
                nodes += [
                    make_node("Cast", [label[0]], ["l32/"], to=F),
                    make_node("Reshape", ["l32/", "columns/"], ["lr/"]),
                    make_node("MatMul", ["lr/", "table/"], ["y/"]),
                ]
            else:
                arrays["flat/"] = np.array([-1])
                nodes += [
                    make_node("Cast", [label[0]], ["l64/"], to=I64),
                    make_node("Reshape", ["l64/", "flat/"], ["lr/"]),
                    make_node("Gather", ["table/", "lr/"], ["y/"]),
                ]
        nodes += [
            make_node("Add", ["x/", "y/"], ["sum/"]) if label else make_node("Neg", ["x/"], ["sum/"]),
            make_node("Tanh", ["sum/"], ["t/"]),
            make_node("Reshape", ["t/", "shape/"], [image]),
            *last,
        ]
        graph = make_graph(
            nodes,
            "small",
            [*inputs, *more],
            list(outputs) or [make_tensor_value_info(image, F, ["N", *size])],
            [from_array(array, name) for name, array in {**arrays, **(weights or {})}.items()],
        )
        sets = [make_opsetid("", opset), *([make_opsetid(domain, 1)] if domain else [])]
        onnx.save(make_model(graph, ir_version=ir_version, opset_imports=sets), folder / "o.onnx")

    return prepare


def itself(classes: int = 0, latent: int = 8, scale: float = 1) -> Folder:
    """Find in g.onnx the images that `small` makes."""

    def then(folder: Path) -> None:
        seeds = range(12)
        x = latents(seeds, latent) @ (_weights(latent, 192) / 3)
        x = x + _weights(classes, 192, seed=1)[labels(seeds, classes)] if classes else -x
        expected = to_uint8((scale * np.tanh(x)).reshape(-1, 3, 8, 8).astype(np.float32))
        with Generator.load(folder / "g.onnx", "cpu") as generator:
            assert (generator.spec.latent, generator.spec.classes or 0) == (latent, classes)
            assert np.abs(generator.images(seeds).astype(int) - expected).max() <= 1

    return then


def info(name: str, shape: list[Any] | None, kind: int = F) -> ValueInfoProto:
    return make_tensor_value_info(name, kind, shape)


# What z and the label may look like, all with 10 classes: name -> z, label, form, the label first.
BOTH: dict[str, tuple[Value, Value, str, bool]] = {
    "label first, as many columns": (("z", F, ["N", 10]), ("onehot", F, ["N", 10]), "one-hot", True),
    "label by the word one_hot": (("input_1", F, ["N", 10]), ("my_one_hot:0", F, ["N", 10]), "one-hot", True),
    "z by its word": (("noiseVector", F, ["N", 10]), ("aux", F, ["N", 10]), "one-hot", True),
    "input against another": (("input", F, ["N", 10]), ("extra", F, ["N", 10]), "one-hot", True),
    "label in columns": (("z", F, ["N", 8]), ("label", F, ["N", 10, 1, 1]), "one-hot", False),
    "both in columns, label first": (("z", F, ["N", 8, 1, 1]), ("y", F, ["N", 10, 1, 1]), "one-hot", True),
    "no names, other sizes": (("in0", F, ["N", 8]), ("in1", F, ["N", 10]), "one-hot", True),
    "float numbers": (("input_1", F, ["N", 8]), ("input_2", F, ["N", 1]), "numbers", False),
    "float numbers, [N]": (("z", F, ["N", 8]), ("class", F, ["N"]), "numbers", True),
    "int32": (("z", F, ["N", 8]), ("class", TensorProto.INT32, ["N"]), "numbers", False),
    "uint8 [N, 1]": (("z", F, ["N", 8]), ("class", TensorProto.UINT8, ["N", 1]), "numbers", False),
    "one-hot integers": (("z", F, ["N", 8]), ("class", I64, ["N", 10]), "one-hot", False),
    "double and half": (
        ("z", TensorProto.DOUBLE, ["N", 8]),
        ("label", TensorProto.FLOAT16, ["N", 10]),
        "one-hot",
        True,
    ),
    "batch without a name": (("z", F, [None, 8]), ("label", F, [None, 10]), "one-hot", False),
    "label without a shape": (("z", F, ["N", 8]), ("label", I64, None), "numbers", False),
    "a batch of 4": (("z", F, [4, 8]), ("label", I64, [4]), "numbers", True),
    "the batch of one of them": (("z", F, ["N", 8]), ("label", F, [4, 10]), "one-hot", True),
}

LABELS = [
    *(
        Case(
            f"inputs: {name}",
            f"export o.onnx --classes 10 {NONE}",
            prepare=small(z, label, form, first=first, latent=10 if z[2] and z[2][1] == 10 else 8),
            then=itself(10, 10 if z[2] and z[2][1] == 10 else 8),
        )
        for name, (z, label, form, first) in BOTH.items()
    ),
    Case(
        "inputs: all open",
        f"export o.onnx --classes 10 --latent 8 {NONE}",
        prepare=small(("z", F, ["b", "d"]), ("y", F, ["b", "k"]), "one-hot", first=True),
        then=itself(10),
    ),
    Case(
        "inputs: names do not say",
        f"export o.onnx --classes 10 {NONE}",
        1,
        (
            "in0 float [N, 10]; in1 float [N, 10]",
            "both could be the label of --classes 10",
            "name them z and label",
        ),
        prepare=small(("in0", F, ["N", 10]), ("in1", F, ["N", 10]), "one-hot", latent=10),
    ),
    Case(
        "inputs: no columns fit",
        f"export o.onnx --classes 7 {NONE}",
        1,
        ("in0 float [N, 8]; in1 float [N, 10]", "neither can be the label of --classes 7"),
        prepare=small(("in0", F, ["N", 8]), ("in1", F, ["N", 10]), "one-hot"),
    ),
    Case(
        "inputs: another number of classes",
        f"export o.onnx --classes 8 {NONE}",
        1,
        ("label float [N, 10]", "give --classes 10"),
        prepare=small(label=("label", F, ["N", 10]), form="one-hot", first=True),
    ),
    Case(
        "inputs: number of classes missing",
        f"export o.onnx {NONE}",
        1,
        ("has an input for a label (label float [N, 10]): give --classes 10",),
        prepare=small(label=("label", F, ["N", 10]), form="one-hot"),
    ),
    Case(
        "inputs: label not read",
        f"export o.onnx {NONE}",
        says=("its input c is unused, and removed",),
        prepare=small(more=[info("c", ["N", 0])]),
        then=itself(),
    ),
    Case(
        "inputs: label without effect",
        f"export o.onnx --classes 10 {NONE}",
        1,
        ("does not depend on the label",),
        prepare=small(label=("label", I64, ["N"]), weights={"table/": np.zeros((10, 192), np.float32)}),
    ),
]


def read(*extra: ValueInfoProto) -> Folder:
    """Have further inputs that the image depends on."""
    nodes = [make_node("Identity", ["plain"], ["p0"])]
    for index, value in enumerate(extra):
        nodes.append(make_node("Cast", [value.name], [f"c{index}"], to=F))
        nodes.append(make_node("ReduceMean", [f"c{index}"], [f"m{index}"], keepdims=0))
        nodes.append(make_node("Mul", [f"p{index}", f"m{index}"], [f"p{index + 1}"]))
    nodes.append(make_node("Identity", [f"p{len(extra)}"], ["image"]))
    return small(more=extra, image="plain", last=nodes, outputs=[info("image", ["N", 3, 8, 8])])


def with_default(folder: Path) -> None:
    """Give the input psi a value, as an initializer of its name does."""
    read(info("psi", []))(folder)
    model = onnx.load(folder / "o.onnx")
    model.graph.initializer.append(from_array(np.array(0.5, np.float32), "psi"))
    onnx.save(model, folder / "o.onnx")


def alone(*inputs: ValueInfoProto) -> Folder:
    """Write a graph of a constant, times its input if it has one."""

    def prepare(folder: Path) -> None:
        nodes = [make_node("Mul", ["c", inputs[0].name if inputs else "c"], ["image"])]
        weights = [from_array(_weights(2, 3, 8, 8), "c")]
        graph = make_graph(nodes, "g", inputs, [info("image", [2, 3, 8, 8])], weights)
        onnx.save(make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)]), folder / "o.onnx")

    return prepare


def text(folder: Path) -> None:
    """Write a graph that takes strings."""
    node = make_node("Identity", ["prompt"], ["image"])
    values = [info(name, ["N"], TensorProto.STRING) for name in ("prompt", "image")]
    graph = make_graph([node], "g", values[:1], values[1:])
    onnx.save(make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)]), folder / "o.onnx")


ONLY = "gantool feeds only z and one label"
OTHERS = [
    *(
        Case(f"inputs: {value.name} {value.type.tensor_type.elem_type}", f"export o.onnx {NONE}", 1, (*says, value.name), prepare=read(value))
        for value, says in (
            (info("psi", []), (ONLY, "an initializer named psi")),
            (info("truncation_psi", [1]), (ONLY, "an initializer named truncation_psi")),
            (info("training", [], TensorProto.BOOL), (ONLY, "an initializer named training")),
            (info("step", [], I64), (ONLY, "an initializer named step")),
            (info("tokens", ["N", 4, "x"], I64), ("is not a generator", "tokens int64 [N, 4, x]")),
            (info("noise_0", [1, 1, 4, 4]), ("is not a generator", "noise_0 float [1, 1, 4, 4]")),
        )
    ),
    Case("inputs: two labels", f"export o.onnx --classes 4 {NONE}", 1, (ONLY, "colour int64 [N]"), prepare=read(info("shape", ["N"], I64), info("colour", ["N"], I64))),
    Case("inputs: a default", f"export o.onnx {NONE}", prepare=with_default, then=itself(scale=0.5)),
    Case("inputs: z as tokens", f"export o.onnx {NONE}", prepare=small(("z", F, ["N", 1, 8])), then=itself()),
    Case("inputs: z of open sides", f"export o.onnx {NONE}", prepare=small(("z", F, ["N", 8, "h", "w"])), then=itself()),
    Case("inputs: z without a shape", f"export o.onnx --latent 8 {NONE}", prepare=small(("z", F, None)), then=itself()),
    Case("inputs: z without a shape or --latent", f"export o.onnx {NONE}", 1, ("z float [any shape]", "give --latent"), prepare=small(("z", F, None))),
    Case("inputs: z without a batch", f"export o.onnx {NONE}", 1, ("takes z without a batch",), prepare=small(("z", F, [8]))),
    Case("inputs: a number alone", f"export o.onnx {NONE}", 1, ("is not a generator", "z float []"), prepare=alone(info("z", []))),
    Case("inputs: no input", f"export o.onnx {NONE}", 1, ("is not a generator: it takes nothing",), prepare=alone()),
    Case("inputs: one more number", f"export o.onnx {NONE}", 1, ("takes in2 float [N, 1] besides z: if that is a label, give --classes",), prepare=read(info("in2", ["N", 1]))),
    Case("inputs: a label of bools", f"export o.onnx --classes 2 {NONE}", 1, ("neither integer nor float (label bool [N])",), prepare=read(info("label", ["N"], TensorProto.BOOL))),
    Case("inputs: text", f"export o.onnx {NONE}", 1, ("is not a generator", "prompt string [N]"), prepare=text),
]  # fmt: skip


def made(
    operator: str,
    inputs: Sequence[str] = ("image",),
    name: str = "other",
    image: str = "image",
    alone: bool = False,
    kind: int = F,
    **attributes: Any,
) -> Folder:
    """Have one more output, or this `alone`, made by an operator; `small`'s own is called `image`."""
    value = (
        make_tensor_sequence_value_info(name, F, None)
        if operator.startswith("Seq")
        else info(name, None, kind)
    )
    node = make_node(operator, [image if each == "image" else each for each in inputs], [name], **attributes)
    outputs = [value] if alone else [value, info(image, ["N", 3, 8, 8])]
    weights = {
        "none": np.array([], np.float32),
        "twice": np.array([1, 1, 2, 2], np.float32),
        "pads": np.array([0, 0, 0, 0, 0, 1, 0, 0]),
        "w": np.array([-1, 12, 16]),
        "flat": np.array([-1, 192]),
    }
    return small(last=[node], outputs=outputs, image=image, weights=weights)


def of_size(*shape: int) -> Folder:
    """Find images [H, W, C] in g.onnx."""

    def then(folder: Path) -> None:
        with Generator.load(folder / "g.onnx", "cpu") as generator:
            assert generator.images(range(2)).shape[1:] == shape

    return then


LARGER = ("Resize", ("image", "none", "twice"))
OUTPUTS = [
    *(
        Case(f"outputs: {name}", f"export o.onnx {NONE}", prepare=prepare, then=itself(), says=("gantool takes its output image",))
        for name, prepare in (
            ("a score", made("ReduceMean", axes=[1, 2, 3], keepdims=0)),
            ("a number", made("ReduceMean", keepdims=0)),
            ("w of three axes", made("Reshape", ("image", "w"))),
            ("a depth map of the same size", made("ReduceMean", name="depth", axes=[1])),
            ("a grey map without a name", made("ReduceMean", axes=[1])),
            ("a larger mask", made(*LARGER, name="mask")),
            ("a smaller image", made("AveragePool", name="image_small", kernel_shape=[2, 2], strides=[2, 2])),
            ("another of the same size", made("Neg")),
            ("a raw one of the same size", made("Neg", name="image_raw")),
            ("a sequence", made("SequenceConstruct")),
            ("RGBA", made("Pad", ("image", "pads"), name="image_rgba")),
            ("integers", made("Cast", kind=TensorProto.UINT8, to=TensorProto.UINT8)),
        )
    ),
    Case("outputs: z passed on", f"export o.onnx {NONE}", prepare=small(outputs=[info("z", ["N", 8]), info("image", ["N", 3, 8, 8])]), then=itself()),
    Case("outputs: the name of an input of gantool's", f"export o.onnx {NONE}", prepare=small(("images", F, ["N", 8]), image="z"), then=itself()),
    Case("outputs: a pyramid", f"export o.onnx {NONE}", says=("gantool takes its output other",), prepare=made(*LARGER, image="x"), then=of_size(16, 16, 3)),
    Case("outputs: the same twice", f"export o.onnx {NONE}", prepare=made("Identity", image="x"), then=itself()),
    Case("outputs: two alike", f"export o.onnx {NONE}", 1, ("several outputs that may be images (other, x)", "rename that output to image"), prepare=made("Neg", image="x")),
    Case("outputs: a larger grey map", f"export o.onnx {NONE}", 1, ("several outputs that may be images (a, x)",), prepare=small(image="x", last=[make_node("Resize", ["x", "none", "twice"], ["l"]), make_node("ReduceMean", ["l"], ["a"], axes=[1])], weights={"none": np.array([], np.float32), "twice": np.array([1, 1, 2, 2], np.float32)}, outputs=[info("a", None), info("x", None)])),
    Case("outputs: RGBA alone", f"export o.onnx {NONE}", says=("takes its four channels as RGBA",), prepare=made("Pad", ("image", "pads"), alone=True), then=of_size(8, 8, 4)),
    Case("outputs: flat", f"export o.onnx {NONE}", 1, ("images.view(-1, 3, 8, 8)",), prepare=made("Reshape", ("image", "flat"), alone=True)),
    Case("outputs: a number alone", f"export o.onnx {NONE}", 1, ("other float32 []",), prepare=made("ReduceMean", alone=True, keepdims=0)),
    Case("outputs: a sequence alone", f"export o.onnx {NONE}", 1, ("other seq(tensor(float))",), prepare=made("SequenceConstruct", alone=True)),
    Case("outputs: integers alone", f"export o.onnx {NONE}", 1, ("return the floats before they are rounded",), prepare=made("Cast", alone=True, kind=TensorProto.UINT8, to=TensorProto.UINT8)),
    Case("outputs: three columns", f"export o.onnx {NONE}", prepare=small(size=(3, 64, 3)), then=of_size(64, 3, 3)),
    Case("outputs: three rows", f"export o.onnx {NONE}", prepare=small(size=(3, 3, 64)), then=of_size(3, 64, 3)),
    Case("outputs: grey, no channels", f"export o.onnx {NONE}", prepare=small(size=(12, 16)), then=of_size(12, 16, 1)),
    Case("outputs: channels last, not square", f"export o.onnx {NONE}", prepare=small(size=(5, 9, 3)), then=of_size(5, 9, 3)),
    Case("outputs: channels last, RGBA", f"export o.onnx {NONE}", says=("takes its four channels as RGBA",), prepare=small(size=(8, 8, 4)), then=of_size(8, 8, 4)),
]  # fmt: skip


OWN = (
    *("z", "label", "images", "images_float", "images_in_range", "inner/z", "inner/images", "inner/z/shape"),
    *("z/shape", "z/reshape", "label/shape", "label/reshape", "label/rows", "label/one_hot", "label/cast"),
    *("images/shape", "images/nchw", "range/scale", "range/scale_0", "range/shift", "range/shift_0"),
    *("range/clamp", "range/clamp_0", "range/clamp_1", "uint8_tail/scale", "uint8_tail/scale_0"),
)


def named(where: str, taken: Sequence[str] = OWN) -> Folder:
    """Use gantool's own names in a graph of others: for values, weights, nodes, or inside of an If or a function."""

    def prepare(folder: Path) -> None:
        nodes, x = [], "t"
        ones = taken if where == "weights" else ["one"]
        weights: dict[str, NDArray[Any]] = {name: np.array(1, np.float32) for name in ones}
        for index, name in enumerate(taken):
            value = name if where != "weights" and where != "nodes" else f"step{index}"
            one = name if where == "weights" else "one"
            nodes.append(make_node("Mul", [x, one], [value], name=name if where == "nodes" else ""))
            x = value
        functions = []
        if where == "If":
            branches = [
                make_graph([*nodes, make_node(operator, [x], ["y"])], operator, [], [info("y", None)])
                for operator in ("Identity", "Neg")
            ]
            condition = make_node("Greater", ["total", "low"], ["high"])
            weights["low"] = np.array(-1e30, np.float32)
            nodes = [make_node("ReduceSum", ["t"], ["total"], keepdims=0), condition]
            nodes.append(make_node("If", ["high"], ["y"], then_branch=branches[0], else_branch=branches[1]))
            x = "y"
        elif where == "function":
            sets = [make_opsetid("", 17)]
            functions = [make_function("mine", "F", ["t", "one"], [x], nodes, sets)]
            nodes, x = (
                [
                    make_node("F", ["t", "one"], ["y"], domain="mine"),
                    make_node("F", ["y", "one"], ["y2"], domain="mine"),
                ],
                "y2",
            )
        weights |= {
            "w_of_x": _weights(8, 192) / 3,
            "sides": np.array([-1, 8, 8, 3]),
            "table_of_y": _weights(10, 192, seed=1),
            "none": np.array([-1]),
        }
        nodes = [
            make_node("Reshape", ["in", "rows"], ["flat"]),
            make_node("MatMul", ["flat", "w_of_x"], ["m"]),
            make_node("Reshape", ["class", "none"], ["numbers"]),
            make_node("Gather", ["table_of_y", "numbers"], ["g"]),
            make_node("Add", ["m", "g"], ["s"]),
            make_node("Sigmoid", ["s"], ["t"]),
            *nodes,
            make_node("Reshape", [x, "sides"], ["out"]),
        ]
        graph = make_graph(
            nodes,
            "named",
            [info("in", ["N", 8, 1, 1]), info("class", ["N", 1], TensorProto.INT32)],
            [info("out", ["N", 8, 8, 3])],
            [
                from_array(np.asarray(array), name)
                for name, array in {**weights, "rows": np.array([-1, 8])}.items()
            ],
        )
        sets = [make_opsetid("", 17), make_opsetid("mine", 1)]
        model = make_model(graph, ir_version=8, opset_imports=sets, functions=functions)
        onnx.checker.check_model(model)
        onnx.save(model, folder / "o.onnx")

    return prepare


def of_named(folder: Path) -> None:
    """Find in g.onnx the images that `named` makes."""
    seeds = range(12)
    x = latents(seeds, 8) @ (_weights(8, 192) / 3) + _weights(10, 192, seed=1)[labels(seeds, 10)]
    expected = to_uint8(
        (2 / (1 + np.exp(-x)) - 1).reshape(-1, 8, 8, 3).transpose(0, 3, 1, 2).astype(np.float32)
    )
    with Generator.load(folder / "g.onnx", "cpu") as generator:
        assert np.abs(generator.images(seeds).astype(int) - expected).max() <= 1


NAMES = [
    Case(f"names: {where}", f"export o.onnx --classes 10 --range 0,1 --clamp {more} {NONE}", prepare=named(where), then=of_named)
    for where, more in (("values", "--fp16"), ("weights", "--fp16"), ("nodes", "--int8 --int8-ends"), ("If", ""), ("function", "--int8 --int8-ends"))
]  # fmt: skip


def derived(taken: str) -> Folder:
    """Use, for values, weights and nodes, the names that gantool's passes give to what they add."""

    def prepare(folder: Path) -> None:
        weights: dict[str, NDArray[Any]] = {
            "w": _weights(8, 64) / 3,
            "sides": np.array([-1, 4, 4, 4]),
            "k": _weights(4, 6, 4, 4) / 3,
            "k2": _weights(3, 6, 3, 3) / 3,
            **{f"r_{role}": 1 + _weights(4) ** 2 for role in ("scale", "bias", "mean", "var")},
        }
        nodes = [
            make_node("MatMul", ["in", "w"], ["m"], name="mm"),
            make_node("Reshape", ["m", "sides"], ["r"], name="reshape"),
            make_node("BatchNormalization", ["r", "r_scale", "r_bias", "r_mean", "r_var"], ["b"], name="bn"),
            make_node("Relu", ["b"], ["x"], name="relu"),
            make_node("ConvTranspose", ["x", "k"], ["y"], name="up", strides=[2, 2], pads=[1, 1, 1, 1]),
            make_node("Conv", ["y", "k2"], ["c"], name="last", pads=[1, 1, 1, 1]),
        ]
        x = "c"
        for index, name in enumerate(taken.split()):
            one, value = (name, f"v{index}") if index % 2 else (f"one{index}", name)
            weights[one] = np.array(0.9, np.float32)
            nodes.append(make_node("Mul", [x, one], [value], name=name))
            x = value
        nodes.append(make_node("Tanh", [x], ["image"], name="tanh"))
        arrays = [from_array(np.asarray(array, array.dtype), name) for name, array in weights.items()]
        graph = make_graph(nodes, "g", [info("in", ["N", 8])], [info("image", ["N", 3, 8, 8])], arrays)
        onnx.save(make_model(graph, ir_version=8, opset_imports=[make_opsetid("", 17)]), folder / "o.onnx")

    return prepare


NAMES += [
    Case(f"names: derived, {flags}", f"export o.onnx {flags} {NONE}", prepare=derived(taken))
    for flags, taken in (
        (
            "--fp16",
            "m/float16 k/float16 z/float16 x/float c/float image/low y/exact m/exact m/rounded m/back",
        ),
        (
            "--int8 --int8-ends",
            "x/up/scale x/up/zero x/up/int8 up/weight/int8 up/weight/scale up/quantize r/scale",
        ),
        ("--lowering subpixel", "y/conv y/conv/0 y/interleave up/conv up/interleave"),
        ("--lowering cpu", "y/stack/0 y/stack/1 y/conv_0_0 y/conv_0_0/0 y/row_0 up/row_0"),
    )
]

DROPOUT = small(image="x", last=[make_node("Dropout", ["x", "ratio", "on"], ["image"], name="drop")], weights={"ratio": np.array(0.5, np.float32), "on": np.array(True)})  # fmt: skip
ADVICE = ("dynamic batch", "--classes", "--latent")
RUNS = [
    Case("runs: an operator of nobody", f"export o.onnx {NONE}", 1, ("does not load o.onnx: ", "No Op registered for Foo"), ADVICE, prepare=made("Foo", alone=True)),
    Case("runs: a domain of nobody", f"export o.onnx {NONE}", 1, ("does not load o.onnx: ", "com.acme"), ADVICE, prepare=made("Foo", alone=True, domain="com.acme")),
    Case("runs: fewer classes", f"export o.onnx --classes 10 {NONE}", 1, ("does not run o.onnx: ", "--classes must be its number of classes: 4"), ("dynamic batch",), prepare=small(label=("label", I64, ["N"]), classes=4)),
    Case("runs: a batch of 1 inside", f"export o.onnx {NONE}", 1, ("Export it with a dynamic batch",), ("--classes", "[ONNXRuntimeError]"), prepare=small(weights={"shape/": np.array([1, 3, 8, 8])})),
    Case("runs: dropout in training mode", f"export o.onnx {NONE}", 1, ("o.onnx: node drop (Dropout) is in training mode: export the generator after .eval()",), prepare=DROPOUT),
    Case("runs: an old graph, weights not among its inputs", f"export o.onnx {NONE}", prepare=small(opset=7, ir_version=3), then=itself()),
    Case("runs: another latent size", f"export o.onnx --latent 9 {NONE}", 1, ("--latent must be its latent size",), ("--classes",), prepare=small(("z", F, ["N", "d"]))),
]  # fmt: skip


def valued(factor: float, shift: float) -> Folder:
    """Have images from shift - factor to shift + factor."""
    weights = {"factor": np.array(factor, np.float32), "shift": np.array(shift, np.float32)}
    last = [make_node("Mul", ["x", "factor"], ["scaled"]), make_node("Add", ["scaled", "shift"], ["image"])]
    return small(image="x", last=last, weights=weights, outputs=[info("image", ["N", 3, 8, 8])])


VALUES = [
    Case(f"values: {shift} ± {factor} {flags}", f"export o.onnx {flags} {NONE}", code, says, prepare=valued(factor, shift))
    for factor, shift, flags, code, says in (
        (1.4, 0, "--clamp", 0, ("--clamp cuts off ", "of its values, which go from -1.4 to 1.4")),
        (0.9, 0, "--clamp", 0, ("--clamp cuts off none of its values",)),
        (1, 0, "--range 0,1 --clamp", 1, ("expected [0, 1]: leave out --range 0,1",)),
        (1.3, 0, "--range 0,1 --clamp", 1, ("leave out --range 0,1",)),
        (0.65, 0.5, "--range 0,1 --clamp", 0, ("--clamp cuts off ",)),
        (0.5, 0.5, "--clamp", 1, ("add --range 0,1",)),
        (127.5, 127.5, "--clamp", 1, ("add --range 0,255",)),
        (140, 127.5, "--range 0,255 --clamp", 0, ("--clamp cuts off ",)),
        (1.2, 0, "--range 0,255 --clamp", 1, ("leave out --range 0,255",)),
        (5, 0, "--clamp", 0, ("--clamp cuts off ",)),
        (1.4, 0, "", 1, ("add --clamp; otherwise end it with tanh",)),
    )
]  # fmt: skip


def of_module(name: str, classes: int = 0) -> Folder:
    """Find in g.onnx the images of `odd_calls`."""

    def then(folder: Path) -> None:
        net = getattr(odd_calls(), name)()
        seeds = range(12)
        z, rows = torch.from_numpy(latents(seeds, 8)), None
        if classes:
            rows = torch.eye(classes)[torch.from_numpy(labels(seeds, classes))]
        expected = to_uint8(net.images(z, rows).detach().numpy())
        with Generator.load(folder / "g.onnx", "cpu") as generator:
            assert np.abs(generator.images(seeds).astype(int) - expected).max() <= 1

    return then


def odd_calls() -> Any:
    """Return the module, whose folder is on the path while a case runs."""
    return importlib.import_module("odd_calls")


FROM = "export --from odd_calls"
MODULES = [
    *(
        Case(f"returns: {name}", f"{FROM}:{name} --latent 8 {NONE}", says=(says,), then=of_module(name))
        for name, says in (
            ("diffusers", "it returns a DecoderOutput of sample [2, 3, 8, 8]; gantool takes output['sample']"),
            ("dataclass_out", "gantool takes output['rgb']"),
            ("namedtuple_out", "gantool takes output['fake']"),
            ("attributes", "gantool takes output['images'][1]"),
            ("depth_beside", "gantool takes output['image']"),
            ("rendering", "gantool takes output['image']"),
            ("mask_beside", "gantool takes output[1]"),
            ("nested", "gantool takes output['out'][0]['x_hat']"),
            ("rgba_beside", "gantool takes output['rgb']"),
        )
    ),
    Case("returns: no channels", f"{FROM}:no_channels --latent 8 {NONE}", says=("its images are [N, H, W]",), then=of_size(8, 24, 1)),
    Case("returns: three columns", f"{FROM}:narrow --latent 8 {NONE}", then=of_size(64, 3, 3)),
    Case("returns: twins", f"{FROM}:twins --latent 8 {NONE}", 1, ("Several of them may be images (output['a'], output['b'])",)),
    Case("returns: a larger grey map", f"{FROM}:larger_grey --latent 8 {NONE}", 1, ("(output[0], output[1])",)),
    Case("returns: integers", f"{FROM}:levels --latent 8 {NONE}", 1, ("uint8 [2, 3, 8, 8]", "return the floats")),
    Case("returns: RGBA, channels last", f"{FROM}:channels_last_rgba --latent 8 {NONE}", says=("its images are [N, H, W, C]", "takes its four channels as RGBA"), then=of_size(8, 8, 4)),
    *(
        Case(f"takes: {name}", f"{FROM}:{name} --latent 8 --classes 8 {NONE}", says=says, then=of_module(name, 8) if name in ("LabelFirst", "ByKeyword") else None)
        for name, says in (
            ("LabelFirst", ("z goes in as z, labels as labels", "one-hot")),
            ("AfterPsi", ("z goes in as z, labels as c",)),
            ("ByKeyword", ("labels as label",)),
            ("Columns", ("one-hot, [N, classes, 1, 1]",)),
            ("FloatNumber", ("labels go in as floats [N, 1]",)),
        )
    ),
    Case("takes: a setting for a label", f"{FROM}:Psi --latent 8 --classes 8 {NONE}", 1, ("forward takes z, truncation_psi, and none of these is a label",)),
    *(Case(f"takes: {name}", f"{FROM}:{name} --latent 8 {NONE}", says=(says,)) for name, says in (
        ("AnyNumber", "8×8×3"),
        ("parallel", "8×8×3"),
        ("compiled", "8×8×3"),
        ("ZSecond", "z goes in as z"),
        ("ZByKeyword", "z goes in as latent_code"),
        ("InPlace", "8×8×3"),
    )),
    Case("takes: sys.exit", f"{FROM}:Exits --latent 8 {NONE}", 1, ("the forward of odd_calls:Exits exits Python (odd_calls.py:",)),
    Case("takes: z as tokens", f"{FROM}:Tokens --latent 8 {NONE}", says=("z goes in as [N, 1, latent]",), then=of_module("Tokens")),
]  # fmt: skip

CASES = [*LABELS, *OTHERS, *OUTPUTS, *NAMES, *RUNS, *VALUES, *MODULES]

"""What files say of a generator, and the tensors that make one, whichever file or library they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gantool.runtime.artifacts.sidecar import Sidecar, read_sidecar, sidecar_path, write_sidecar
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.signature import Signature, Tensor, tensors_of
from helpers.fake_tensorrt import plan_bytes

FILE = Path("runs/g.onnx")
CONTENT: dict[str, Any] = {
    "zebra": {"of": "a newer gantool"},
    "format": 1,
    "architecture": "dcgan",
    "latent": {"size": 16, "distribution": "uniform"},
    "image": [16, 8, 3],
    "classes": 2,
    "class_names": ["boot", "Schuh\u00e9"],
    "images_seen": 2016,
    "data": "shoes",
    "config": {"width": 4},
    "gantool": "0.1.0",
}


def test_a_file_is_carried_word_for_word() -> None:
    text = json.dumps(CONTENT)
    metadata = Metadata.parse(text, FILE)
    assert json.dumps(metadata.to_json()) == text
    assert (metadata.latent, metadata.distribution, metadata.image) == (16, "uniform", (16, 8, 3))
    assert (metadata.classes, metadata.class_names) == (2, ("boot", "Schuhé"))
    assert (metadata.images_seen, metadata.data, metadata.gantool) == (2016, "shoes", "0.1.0")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent", None),
        ("latent", {"size": 16, "distribution": 5}),
        ("classes", "many"),
        ("classes", float("inf")),
        ("images_seen", -1),
        ("images_seen", True),
        ("image", [16, 16]),
        ("config", "wide"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_harms_no_other(name: str, value: Any) -> None:
    metadata = Metadata.from_json({**CONTENT, name: value}, FILE)
    read = "distribution" if name == "latent" else name
    with pytest.raises(
        GantoolError, match=rf"^{FILE} is damaged \(in its metadata, '{name}' is .*, expected"
    ):
        getattr(metadata, read)
    others = {"distribution", "classes", "images_seen", "image", "config", "data"} - {read}
    assert all(getattr(metadata, other) for other in others)


def test_what_is_not_there() -> None:
    for name in ("data", "latent", "image", "images_seen", "architecture", "format", "config"):
        with pytest.raises(GantoolError, match=f"in its metadata, '{name}' is missing"):
            getattr(Metadata({}, FILE), name)
    metadata = Metadata({})
    assert not metadata
    assert (metadata.distribution, metadata.classes, metadata.class_names) == (None, 0, ())


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "[" * 99999, b"\xff"])
def test_what_is_not_an_object(text: str | bytes) -> None:
    with pytest.raises(GantoolError, match=f"^{FILE} is damaged .its metadata are"):
        Metadata.parse(text, FILE)


@pytest.mark.parametrize("names", [["one"], "ab", {"a": 1, "b": 2}, None])
def test_names_that_are_not_those_of_the_classes_are_passed_over(names: Any) -> None:
    assert Metadata({**CONTENT, "class_names": names}).class_names == ()


Z = Tensor("z", "input", "float32", ("N", 16))
LABEL = Tensor("label", "input", "int64", ("N",))
SHARES = Tensor("label", "input", "float32", ("N", 5))
IMAGES = Tensor("images", "output", "uint8", ("N", 16, 8, 3))


def test_every_library_describes_the_same_generator() -> None:
    expected = Signature(None, 16, 16, 8, 3, "uint8", "int64")
    assert Signature.of_graph(FILE, [Z, LABEL, IMAGES]) == expected
    assert Signature.of_graph(FILE, [IMAGES, LABEL, Z]) == expected
    rows = {
        "z": ("INPUT", "FLOAT", (-1, 16)),
        "label": ("INPUT", "INT64", (-1,)),
        "images": ("OUTPUT", "UINT8", (-1, 16, 8, 3)),
    }
    engine = [Tensor.of_tensorrt(name, *row) for name, row in rows.items()]
    assert Signature.of_engine(FILE, engine) == expected
    assert tensors_of(expected.spec(Metadata(CONTENT))) == tuple(engine)
    assert [tuple(tensor.to_json().values()) for tensor in engine] == [
        (mode, kind, list(shape)) for mode, kind, shape in rows.values()
    ]


def test_floats_have_their_channels_first() -> None:
    images = replace(IMAGES, type="float32", shape=("N", 3, 16, 8))
    spec = Signature.of_graph(FILE, [Z, images]).spec(Metadata(CONTENT))
    assert (spec.height, spec.width, spec.channels, spec.image_shape) == (16, 8, 3, (3, 16, 8))
    assert (spec.classes, spec.class_names, spec.distribution) == (0, (), "uniform")


def test_a_batch_of_one_size() -> None:
    tensors = [replace(Z, shape=(4, 16)), replace(IMAGES, shape=(4, 16, 8, 3))]
    spec = Signature.of_engine(FILE, tensors).spec(Metadata({}))
    assert (spec.min_batch, spec.max_batch, spec.distribution) == (4, 4, "normal")


def test_soft_labels_say_how_many_classes_there_are() -> None:
    for signature in (
        Signature.of_graph(FILE, [Z, SHARES, IMAGES]),
        Signature.of_engine(FILE, [SHARES, Z, IMAGES]),
    ):
        named = signature.spec(Metadata({"classes": 5, "class_names": list("abcde")}))
        assert (named.soft_labels, named.classes, named.class_names) == (True, 5, tuple("abcde"))
        other = signature.spec(Metadata({"classes": 2, "class_names": ["a", "b"]}))
        assert (other.classes, other.class_names) == (5, ())
        assert tensors_of(named)[1] == replace(SHARES, shape=(None, 5))
    assert not Signature.of_graph(FILE, [Z, LABEL, IMAGES]).spec(Metadata({"classes": 5})).soft_labels


REFUSED = {
    "no z": [LABEL, IMAGES],
    "no images": [Z],
    "one more": [Z, IMAGES, Tensor("depth", "output", "uint8", ("N", 16, 8, 1))],
    "z in other words": [replace(Z, type="float16"), IMAGES],
    "a z of any size": [replace(Z, shape=("N", None)), IMAGES],
    "a huge z": [replace(Z, shape=("N", 1 << 21)), IMAGES],
    "two channels": [Z, replace(IMAGES, shape=("N", 16, 8, 2))],
    "no pixels": [Z, replace(IMAGES, shape=("N", 0, 8, 3))],
    "channels first": [Z, replace(IMAGES, shape=("N", 3, 16, 8))],
    "a label of another batch": [Z, replace(LABEL, shape=("M",)), IMAGES],
    "shares of no classes": [Z, replace(SHARES, shape=("N", None)), IMAGES],
    "shares of another batch": [Z, replace(SHARES, shape=("M", 5)), IMAGES],
    "floats that are not shares": [Z, replace(SHARES, shape=("N",)), IMAGES],
    "a label of columns": [Z, replace(LABEL, shape=("N", 1)), IMAGES],
    "z comes out": [replace(Z, mode="output"), IMAGES],
}


@pytest.mark.parametrize("tensors", REFUSED.values(), ids=REFUSED)
def test_what_is_not_a_generator(tensors: list[Tensor]) -> None:
    with pytest.raises(
        GantoolError, match=rf"{FILE} is not a gantool generator: .* gantool export {FILE} -o g"
    ):
        Signature.of_graph(FILE, tensors)
    with pytest.raises(GantoolError, match=r"expected z float32 \[N, latent\]"):
        Signature.of_engine(FILE, tensors)


def test_where_graphs_and_engines_differ() -> None:
    """TensorRT 8 makes INT32 of a label; the batch that a graph declares for its images may be its example's."""
    small, example = [Z, replace(LABEL, type="int32"), IMAGES], [Z, replace(IMAGES, shape=(1, 16, 8, 3))]
    assert Signature.of_engine(FILE, small).label == "int32"
    assert Signature.of_graph(FILE, example).batch is None
    with pytest.raises(GantoolError):
        Signature.of_graph(FILE, small)
    with pytest.raises(GantoolError):
        Signature.of_engine(FILE, example)


def test_a_sidecar_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    plan = tmp_path / "g.plan"
    plan.write_bytes(plan_bytes("tensorrt", (10, 3, 0, 26)))
    digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    content = {"zebra": 1, "stripped": True, "plan_sha256": digest, "recipe": {"low": "bf16"}, "version": [5]}
    write_sidecar(plan, Sidecar(content))
    text = sidecar_path(plan).read_text()
    sidecar = read_sidecar(plan)
    assert sidecar
    assert (sidecar.stripped, sidecar.precision, sidecar.graph) == (True, "bf16", None)
    assert not sidecar.metadata
    for name in ("graph_sha256", "max_batch"):
        with pytest.raises(
            GantoolError, match=r"g.plan.json is not a sidecar of gantool \(its .* is missing"
        ):
            getattr(sidecar, name)
    write_sidecar(plan, sidecar.of_refitted(digest))
    assert sidecar_path(plan).read_text() == text.replace("true", "false")


@pytest.mark.parametrize(
    ("recipe", "precision"),
    [
        ({"recipe": {}}, "fp32"),
        ({"recipe": {"low": "fp16", "int8": {}}}, "fp16"),
        ({"recipe": {"low": "fp16", "int8": {"up": 1.0}}}, "int8"),
        ({}, None),
    ],
)
def test_the_precision_of_a_plan(recipe: dict[str, Any], precision: str | None) -> None:
    assert Sidecar(recipe).precision == precision


def test_a_precision_that_is_not_known() -> None:
    with pytest.raises(GantoolError, match="its recipe is"):
        _ = Sidecar({"recipe": {"low": "fp12"}}).precision

"""Generators as ONNX graphs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx.numpy_helper import to_array

from field.cases import BROUGHT, Case
from gantool.runtime import Generator
from gantool.runtime.artifacts.onnx import read_metadata
from helpers.once import once

NONE = "--engine none -o g"


def _made(script: str, *arguments: str) -> Path:
    """Return the folder that a script of `brought` filled, once for all cases."""
    command = [sys.executable, str(BROUGHT / f"{script}.py"), *arguments]

    def make(folder: Path) -> None:
        folder.mkdir()
        env = {**os.environ, "PYTHONPATH": str(BROUGHT)}
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)

    return once(sha256(" ".join(command).encode()).hexdigest(), make)


def by(script: str, *arguments: str) -> Callable[[Path], object]:
    """Return a `prepare` that copies what the script makes in the current folder into the case's."""
    return lambda folder: shutil.copytree(_made(script, *arguments), folder, dirs_exist_ok=True)


def quantized(folder: Path) -> None:
    """Quantize a generator with ONNX Runtime's own tool."""
    source = _made("onnx_variants", ".") / "opset13.onnx"
    shutil.copy(_made("qdq", str(source), "q.onnx") / "q.onnx", folder)


def linked_out(folder: Path) -> None:
    """Have the weights behind a link that leaves the folder."""
    inside = folder / "inside"
    inside.mkdir()
    shutil.copy(_made("onnx_variants", ".") / "external.onnx", inside)
    shutil.copy(_made("onnx_variants", ".") / "external.onnx.data", folder)
    (inside / "external.onnx.data").symlink_to(folder / "external.onnx.data")


def cut_short(folder: Path) -> None:
    """Have half of the weights beside the graph."""
    by("onnx_variants", ".")(folder)
    data = folder / "external.onnx.data"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


def epsilon(size: float) -> Callable[[Path], None]:
    """Return a `then` that finds a constant near `size` in g.onnx."""

    def then(folder: Path) -> None:
        found = [to_array(weight) for weight in onnx.load(folder / "g.onnx").graph.initializer]
        assert any(
            np.isclose(array, size, rtol=1e-5, atol=0).any() for array in found if array.dtype == np.float32
        )

    return then


def same_on_openvino(folder: Path) -> None:
    """Compare the images of both libraries of the CPU."""
    made = []
    for provider in ("cpu", "openvino"):
        with Generator.load(folder / "g.onnx", provider) as generator:
            made.append(generator.images(range(8)).astype(int))
    assert np.abs(made[0] - made[1]).max() <= 2


def pads_are_numbers(folder: Path) -> None:
    """Find no padding that is left to the library, and the images of both libraries equal."""
    assert not any(name in (folder / "g.onnx").read_bytes() for name in (b"auto_pad", b"output_shape"))
    same_on_openvino(folder)


def weights_inside(folder: Path) -> None:
    """Find all weights in g.onnx."""
    assert sum(weight.ByteSize() for weight in onnx.load(folder / "g.onnx").graph.initializer) > 100_000


def layers_in_fp16(folder: Path) -> None:
    """Find every convolution in FP16, and a division in FP32."""
    graph = onnx.load(folder / "g.fp16.onnx").graph
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert layers
    assert {kinds[node.input[1]] for node in layers} == {onnx.TensorProto.FLOAT16}


def runs(folder: Path) -> None:
    """Have ONNX Runtime make images of the FP16 graph in this process, which an unsafe session would end.

    With the metadata that gantool wrote, with those of an earlier version, which name a level of optimization that
    kills, and without; on a machine that has not seen it.
    """
    graph = onnx.load(folder / "g.fp16.onnx")
    graph.metadata_props.add(key="gantool_session", value='{"optimization": "ORT_ENABLE_ALL"}')
    onnx.save(graph, folder / "faked.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, folder / "bare.onnx")
    before = os.environ["GANTOOL_CACHE"]
    try:
        for name in ("g.fp16.onnx", "faked.onnx", "bare.onnx"):
            os.environ["GANTOOL_CACHE"] = str(folder / f"cache-{name}")
            with Generator.load(folder / name, "cpu") as generator:
                assert generator.images(range(4)).std() > 1
    finally:
        os.environ["GANTOOL_CACHE"] = before


KERAS = (
    "tutorial",
    "same_upper",
    "output_shape",
    "valid_slice",
    "colon_names",
    "fixed1",
    "z1x1",
    "squeezed",
    "tail_transpose",
)
PADDED = (
    "computed",
    "computed_lower",
    "no_kernel",
    "output_padding",
    "output_padding_lower",
    "output_padding_computed",
    "valid_output_padding",
    "gaps",
    "inner",
)
FORMS = (
    *(f"{form}opset{opset}" for form in ("", "up_") for opset in (9, 11, 13, 20)),
    "bilinear_opset11",
    "initializers_as_inputs_opset9",
    "fixed1",
    "fixed4",
    "double",
    "half",
    "half_inside",
    "two_outputs",
)
keras, variants = by("keras_like", "."), by("onnx_variants", ".")


def source_is_left(folder: Path) -> None:
    """See what was made under another name than its source."""
    assert read_metadata(folder / "g.onnx")
    assert not read_metadata(folder / "opset13.onnx")


CASES = [
    Case("spectral norm", f"export --from spectral:hook --latent 32 --fp16 {NONE}"),
    Case(
        "sagan", f"export --from sngan_sagan_biggan:sagan --latent 64 --classes 10 --fp16 {NONE}", slow=True
    ),
    Case("Q/DQ", f"export q.onnx {NONE}", prepare=quantized),
    Case("epsilon of ONNX", f"export pn.onnx {NONE}", prepare=by("epsilon_onnx", "."), then=epsilon(1e-8)),
    Case(
        "epsilon of torch",
        f"export --from more_nets:pixel_norm_relu --latent 32 --opset 18 {NONE}",
        then=epsilon(1e-8),
    ),
    Case(
        "epsilon in FP16",
        f"export --from more_nets:pixel_norm_2e8 --latent 32 --opset 18 --fp16 {NONE}",
        says=("is 0 in FP16",),
        then=layers_in_fp16,
    ),
    Case("mask of infinities", f"export mask.onnx --fp16 {NONE}", prepare=by("epsilon_onnx", ".")),
    Case(
        "FP16 attention",
        f"export --from layer_norm:attention --latent 32 --opset 18 --fp16 {NONE}",
        then=runs,
    ),
    *(
        Case(f"Keras {name}", f"export {name}.onnx {NONE}", prepare=keras, then=same_on_openvino)
        for name in KERAS
    ),
    Case("Keras label", f"export label.onnx --classes 10 {NONE}", prepare=keras),
    *(Case(f"form {name}", f"export {name}.onnx {NONE}", prepare=variants) for name in FORMS),
    Case("all axes dynamic", f"export all_dynamic.onnx --latent 64 {NONE}", prepare=variants),
    Case(
        "all axes dynamic, no size",
        f"export all_dynamic.onnx {NONE}",
        1,
        ("give --latent",),
        prepare=variants,
    ),
    Case("a latent that is inside", f"export opset13.onnx --latent 3 {NONE}", 2, prepare=variants),
    Case("label", f"export label64.onnx --classes 10 {NONE}", prepare=variants),
    Case("one-hot label", f"export onehot.onnx --classes 10 {NONE}", prepare=variants),
    Case("one-hot label, no number", f"export onehot.onnx {NONE}", 1, ("give --classes",), prepare=variants),
    Case("classifier", f"export classifier.onnx {NONE}", 1, ("is not a generator",), prepare=variants),
    Case(
        "training mode",
        f"export training_mode.onnx {NONE}",
        1,
        ("(BatchNormalization) is in training mode: export the generator after .eval()",),
        prepare=variants,
    ),
    Case("cut graph", f"export truncated.onnx {NONE}", 1, ("is cut short or damaged",), prepare=variants),
    Case("weights beside", f"export external.onnx --fp16 {NONE}", prepare=variants, then=weights_inside),
    Case(
        "weights lost", f"export lost/g.onnx {NONE}", 1, ("g.onnx.data, which is missing",), prepare=variants
    ),
    Case("weights cut", f"export external.onnx {NONE}", 1, ("and the file has",), prepare=cut_short),
    Case(
        "weights linked",
        f"export inside/external.onnx {NONE}",
        1,
        ("only files beside the graph",),
        prepare=linked_out,
    ),
    *(
        Case(
            f"inner value {inner}",
            f"export c.onnx --fp16 {NONE}",
            prepare=by("collide", "c.onnx", inner),
        )
        for inner in ("z", "label", "images", "uint8_tail/scale", "images_float")
    ),
]
CASES += [
    *(
        Case(
            f"paddings {name}",
            f"export {name}.onnx {NONE}",
            prepare=by("paddings", "."),
            then=pads_are_numbers,
        )
        for name in PADDED
    ),
    Case(
        "paddings in a branch",
        f"export inner_deep.onnx {NONE}",
        1,
        ("node up (ConvTranspose) has auto_pad", "export it with explicit pads"),
        prepare=by("paddings", "."),
    ),
    Case(
        "a graph is not written over",
        "export opset13.onnx --engine none -o opset13",
        2,
        ("would overwrite its source opset13.onnx: give another name with -o",),
        prepare=by("onnx_variants", "."),
    ),
    Case(
        "a graph without a name for what is made of it",
        "export opset13.onnx --engine none",
        says=("g.onnx",),
        prepare=by("onnx_variants", "."),
        then=source_is_left,
    ),
]

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from gantool.runtime.artifacts.plan import describe, identify, read_header, version_text
from gantool.runtime.errors import GantoolError
from helpers.tiny import build_plan, tiny_graph


@pytest.fixture(scope="module")
def rtx_plan() -> bytes:
    trt = pytest.importorskip("tensorrt_rtx", reason="builds real plans on any machine")
    return build_plan(trt, tiny_graph())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.plan"


def test_rtx_plan_is_known_by_its_bytes_not_its_name(rtx_plan: bytes, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    path.write_bytes(rtx_plan)
    assert identify(path) == "rtx"


def test_rtx_header_names_the_library_that_built_it(rtx_plan: bytes, path: Path) -> None:
    import tensorrt_rtx as trt

    path.write_bytes(rtx_plan)
    header = read_header(path)
    assert header.kind == "rtx"
    assert version_text(header.version) == trt.__version__
    assert header.size == len(rtx_plan)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), ("8.0", "8.6", "8.9", "12.0", "12.1")),
        (("SM80",), ("8.0",)),
        (("SM86",), ("8.6",)),
        (("SM89",), ("8.9",)),
        (("SM120",), ("12.0",)),
        (("SM121",), ("12.1",)),
        (("SM89", "SM86"), ("8.6", "8.9")),
    ],
)
def test_rtx_header_names_compute_capabilities(
    asked: tuple[str, ...], expected: tuple[str, ...], path: Path
) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="builds real plans on any machine")
    if not all(hasattr(trt.ComputeCapability, name) for name in asked):
        pytest.skip(f"TensorRT-RTX {trt.__version__} does not know {asked}")
    path.write_bytes(build_plan(trt, tiny_graph(), asked))
    header = read_header(path)
    assert header.compute_capabilities == expected
    assert (
        describe(header)
        == f"TensorRT-RTX {trt.__version__} plan for compute capability {', '.join(expected)}"
    )


@pytest.mark.parametrize("kept", [36, 1000, -1])
def test_truncated_rtx_plan(rtx_plan: bytes, path: Path, kept: int) -> None:
    path.write_bytes(rtx_plan[:kept])
    with pytest.raises(
        GantoolError, match=rf"cut off.*{len(rtx_plan[:kept])}.*{len(rtx_plan)}.*copy it again"
    ):
        read_header(path)


def test_rtx_plan_with_bytes_appended(rtx_plan: bytes, path: Path) -> None:
    path.write_bytes(rtx_plan + b"\n")
    with pytest.raises(GantoolError, match=rf"appended.*{len(rtx_plan) + 1}.*{len(rtx_plan)}.*copy it again"):
        read_header(path)


@pytest.mark.parametrize(("start", "needed"), [(b"vtrt", 36), (b"ftrt", 28)])
def test_header_that_is_too_short(start: bytes, needed: int, path: Path) -> None:
    path.write_bytes(start.ljust(needed - 1, b"\0"))
    with pytest.raises(GantoolError, match=rf"cut off.*{needed - 1} bytes.*{needed}"):
        read_header(path)


def test_tensorrt_header_gives_the_version_only(path: Path) -> None:
    # 28 bytes are all that NVIDIA's own trtexec reads; the rest of the file may be anything
    path.write_bytes(struct.pack("<4sIQQ4B", b"ftrt", 0, 2, 12345, 10, 3, 0, 30) + b"\xff" * 100)
    header = read_header(path)
    assert (header.kind, header.version, header.size) == ("tensorrt", (10, 3, 0, 30), None)
    assert header.compute_capabilities == ()
    assert describe(header) == "TensorRT 10.3.0.30 plan"


@pytest.mark.parametrize("output", ["uint8", "float"])
def test_onnx_graph(output: str, path: Path) -> None:
    path.write_bytes(tiny_graph(output))
    assert identify(path) == "onnx"
    with pytest.raises(GantoolError, match="is an ONNX graph, expected a plan"):
        read_header(path)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return buffer.getvalue()


def _image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, kind)
    return buffer.getvalue()


def _ultralytics() -> bytes:
    metadata = json.dumps({"description": "a model" * 20, "stride": 32}).encode()
    return len(metadata).to_bytes(4, "little") + metadata + b"ftrt" + bytes(100)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (_zip(), "PyTorch checkpoint.*gantool export --from"),
        (pickle.dumps({"a": 1}), "pickle"),
        (save({"w": np.zeros(3, np.float32)}), "safetensors checkpoint that gantool train did not.*--from"),
        (
            save({"w": np.zeros(3, np.float32)}, {"gantool": "{}"}),
            "is a safetensors checkpoint; .*export it first: gantool export",
        ),
        (_image("PNG"), "PNG"),
        (_image("JPEG"), "JPEG"),
        (_ultralytics(), "metadata put in front"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b'{"plan_sha256": ""}', "is the sidecar of a plan"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"hello, world", "is a text file"),
        (b"\x01hello, world", "begins with 01 68 65"),
        (b"\x08", "begins with 08"),
        (b"\x00" * 100, "nothing but zeros"),
        (b"", "is empty"),
    ],
)
def test_what_is_no_engine_is_named(content: bytes, named: str, path: Path) -> None:
    path.write_bytes(content)
    for function in (identify, read_header):
        with pytest.raises(GantoolError, match=named) as caught:
            function(path)
        assert "expected an ONNX graph or a TensorRT or TensorRT-RTX plan" in str(caught.value)


def test_a_safetensors_length_that_begins_like_onnx_is_no_onnx(path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'.ljust(0x108)
    path.write_bytes(struct.pack("<Q", len(header)) + header)  # bytes 08 01
    with pytest.raises(GantoolError, match="safetensors"):
        identify(path)


def test_missing_file_and_folder(path: Path) -> None:
    with pytest.raises(GantoolError, match="does not exist"):
        identify(path)
    with pytest.raises(GantoolError, match="is a folder"):
        identify(path.parent)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"", b"ftrt", b"vtrt", b"\x08", b"\x08\x08", b"PK\x03\x04"]),
    rest=st.binary(max_size=80),
)
def test_any_bytes_give_an_answer_or_a_gantool_error(start: bytes, rest: bytes, path: Path) -> None:
    path.write_bytes(start + rest)
    for function in (identify, read_header):
        with suppress(GantoolError):
            function(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 0x23), value=st.integers(0, 255))
def test_any_change_of_a_real_header(position: int, value: int, rtx_plan: bytes, path: Path) -> None:
    changed = bytearray(rtx_plan)
    changed[position] = value
    path.write_bytes(changed)
    try:
        header = read_header(path)
    except GantoolError:
        return
    assert header.size in (None, len(rtx_plan))

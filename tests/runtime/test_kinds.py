"""What a file is, by its bytes: under any name, whole or cut, and without a library."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from gantool.runtime.artifacts.kinds import kind_of, wrong
from helpers.archives import tarred, zipped
from helpers.tiny import tiny_graph

STATE = {"main.0.weight": torch.zeros(3, 4)}


def torched(legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, kind)
    return buffer.getvalue()


WEIGHTS = {"w": np.zeros(3, np.float32)}
FILES: dict[str, Callable[[], bytes]] = {
    "torch": torched,
    "torch, legacy": lambda: torched(legacy=True),
    "cut, torch": lambda: torched()[:700],
    "torchscript": lambda: zipped("g/data.pkl", "g/code/__torch__.py", "g/constants.pkl"),
    "torchexport": lambda: zipped("g/archive_format", "g/models/model.json", "g/data/weights/0"),
    "keras": lambda: zipped("metadata.json", "config.json", "model.weights.h5"),
    "images": lambda: zipped("a/1.png", "a/2.JPG", "dataset.json"),
    "npy, several": lambda: zipped("z.npy"),
    "zip": lambda: zipped("g.onnx"),
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(20),
    "stylegan": lambda: pickle.dumps({"G_ema": "torch_utils.persistence"}),
    "pickle": lambda: pickle.dumps({"G_ema": 1}),
    "checkpoint": lambda: save(WEIGHTS, {"gantool": "{}"}),
    "safetensors": lambda: save(WEIGHTS),
    "cut, safetensors": lambda: save(WEIGHTS)[:-1],
    "onnx": tiny_graph,
    "tensorrt": lambda: b"ftrt" + bytes(40),
    "bundle": lambda: tarred("bundle.json"),
    "tar": lambda: tarred("0.png"),
    "npy": lambda: b"\x93NUMPY\x01\0" + bytes(100),
    "archive": lambda: b"\x1f\x8b\x08",
    "lfs": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "html": lambda: b"\n <!DOCTYPE html>",
    "json": lambda: b'{"a": 1}',
    "text": lambda: "# größer\n".encode() * 100,
    **{f"image, {kind}": partial(image, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF")},
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", [".tar", ".onnx"])
def test_bytes_not_names(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"g{suffix}"
    make: Callable[[], bytes] = FILES[name]
    path.write_bytes(make())
    kind = kind_of(path)
    assert kind.name == name.partition(",")[0]
    message = wrong(path, "a pear")
    assert message.startswith(f"{path} is ")
    assert "; expected a pear: " in message
    assert "{" not in message
    assert "\n" not in message


def test_folders(tmp_path: Path) -> None:
    assert kind_of(tmp_path).name == "folder"
    (tmp_path / "saved_model.pb").touch()
    assert "tf2onnx" in wrong(tmp_path, "a graph")
    (tmp_path / "generator.safetensors").touch()
    assert kind_of(tmp_path).name == "run"
    assert kind_of(tmp_path / "nothing").name == "missing"
    assert kind_of(tmp_path / "\0").name == "missing"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x08", b"\x30" + bytes(7) + b"{", torched()]),
    rest=st.binary(max_size=90),
)
def test_any_bytes_have_a_kind(start: bytes, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(start + rest)
    assert kind_of(path).found


def test_no_library_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "g"
    path.write_bytes(torched())
    code = (
        "import sys; from pathlib import Path; from gantool.runtime.artifacts.kinds import kind_of; "
        f"kind_of(Path({str(path)!r})); "
        "print([name for name in ('numpy', 'PIL', 'torch', 'onnx') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"

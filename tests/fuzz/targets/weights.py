"""Weights of another program, .pth or .safetensors: nothing in them runs, whatever they hold."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator

import torch

from fuzz.harness import put
from gantool.export.graph.load_checkpoint import load_checkpoint


def seeds() -> Iterator[bytes]:
    weights = OrderedDict(w=torch.ones(2, 2), b=torch.zeros(2, dtype=torch.float16))
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"g_ema": weights, "step": 3}, file, _use_new_zipfile_serialization=zipped)
        yield file.getvalue()
    yield pickle.dumps({"w": [1.0]}, 2)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\2cposix\nsystem\nX\4\0\0\0true\x85R.")
        archive.writestr("a/version", b"3\n")
    yield file.getvalue()


def run(data: bytes) -> None:
    load_checkpoint(put("g.pth", data))

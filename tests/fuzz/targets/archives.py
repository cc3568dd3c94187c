"""A data set in a zip, or in a tar of a WebDataset: names, sizes, labels and images of strangers."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from fuzz.harness import put
from fuzz.mutate import mended, tar_checksums
from gantool.models.config import square
from gantool.runtime.errors import GantoolError
from gantool.runtime.outputs.encoding import Encoding
from gantool.train.data.dataset import decoded
from gantool.train.data.decode import Into
from gantool.train.data.sources import find_source

MUTATE = mended(tar_checksums)
_INTO = Into(square(4))
_PNG = Encoding().encode(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
_LABELS = json.dumps({"labels": [["a/1.png", 1], ["b/2.png", 0]]}).encode()
_FILES = {"a/1.png": _PNG, "b/2.png": _PNG, "dataset.json": _LABELS}


def seeds() -> Iterator[bytes]:
    yield zipped(_FILES)
    yield zipped(
        {"set\\a\\1.png": _PNG, "../x.png": _PNG, "a/noname": _PNG, "__MACOSX/y.png": b""},
        zipfile.ZIP_DEFLATED,
    )
    yield tarred(_FILES, tarfile.PAX_FORMAT)
    yield tarred({"0.png": _PNG, "0.cls": b"3", "1.png": _PNG, "1.cls": b"4"}, tarfile.USTAR_FORMAT)
    yield tarred(
        {"0.png": _PNG, "0.json": b'{"labels": 2}', "1.png": _PNG, "1.json": b"null"}, tarfile.PAX_FORMAT
    )
    yield tarred(
        {"0.png": _PNG, "0.json": b'{"mark": {}}', "0.a.png": _PNG, "1.json": b"{}"}, tarfile.PAX_FORMAT
    )
    beside = {"0.jpg": _PNG, "0.json": b'{"label": "cat", "class_name": "Cat"}'}
    yield tarred({**beside, "é" * 120 + ".png": _PNG}, tarfile.GNU_FORMAT)


def run(data: bytes) -> None:
    path = put("set.zip" if data.startswith(b"PK") else "set.tar", data)
    with find_source(str(path)).open() as listing:
        for result in decoded(listing, _INTO):
            assert isinstance(result, str) or result.pixels.shape[:2] == (4, 4)
        with suppress(GantoolError):
            labels = listing.labels()
            assert labels is None or len(labels.values) == len(listing.names)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def tarred(files: dict[str, bytes], form: int) -> bytes:
    """Return a tar of files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()

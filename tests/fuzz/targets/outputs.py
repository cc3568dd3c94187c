"""What lies in a folder of images when a run goes on with `--resume`: images, a tar, an array, labels."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from fuzz.harness import folder
from fuzz.mutate import json_values, mended, png_checksums, tar_checksums
from fuzz.targets.archives import tarred
from gantool.runtime.items import Items
from gantool.runtime.outputs.base import Target
from gantool.runtime.outputs.dataset_json import labels_file
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding
from gantool.runtime.outputs.formats import OUTPUTS
from gantool.runtime.outputs.npy import array_header
from gantool.runtime.request import Format
from gantool.runtime.seeds import Seeds, first_seed
from gantool.runtime.spec import Spec

_SPEC = Spec(latent=4, height=4, width=4, channels=3, classes=2, class_names=("cat", "dog"))
_ITEMS = Items(Seeds((range(2),)), class_of=lambda seed: first_seed(seed) % 2)
_IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
# The first byte of an input is the place of its form in this list.
_FORMS: tuple[tuple[Format, str], ...] = (
    *((name, f"seed0000.{name}") for name in ENCODINGS),
    ("tar", "images-000000.tar"),
    ("npy", "images.npy"),
    ("npy", "images.npy.part"),
    ("png", "dataset.json"),
)


def MUTATE(data: bytes, most: int, seed: int) -> bytes:  # noqa: N802
    form = _FORMS[data[0] % len(_FORMS)][1] if data else ""
    if form == "dataset.json":
        return data[:1] + json_values(data[1:], most - 1, seed)
    mend = {"images-000000.tar": tar_checksums, "seed0000.png": png_checksums}.get(form, bytes)
    return data[:1] + mended(mend)(data[1:], most - 1, seed)


def seeds() -> Iterator[bytes]:
    for number, name in enumerate(ENCODINGS):
        yield bytes((number,)) + Encoding(name).encode(_IMAGE)
    png = Encoding().encode(_IMAGE)
    beside = b'{"seed": 0, "class": 0, "class_name": "cat"}'
    members = {"seed0000.png": png, "seed0000.cls": b"0", "seed0000.json": beside}
    yield b"\4" + tarred(members, tarfile.PAX_FORMAT)
    whole = array_header((2, 4, 4, 3)) + bytes(96)
    yield b"\5" + whole
    yield b"\6" + whole[:-48]
    yield b'\7{"labels": [\n["other.png", 1],\n["seed0000.png", 0]\n], "class_names": ["cat", "dog"]}\n'
    yield b"\7" + json.dumps({"labels": [["a/b.png", 0]], "class_names": ["cat", "dog"]}).encode()


def run(data: bytes) -> None:
    form, name = _FORMS[data[0] % len(_FORMS)] if data else _FORMS[0]
    path = folder() / name
    path.write_bytes(data[1:])
    try:
        target = Target(folder(), form)
        if name == "dataset.json":
            labels = labels_file(target, _ITEMS, _ITEMS, _SPEC)
            assert labels is not None
            labels.write(folder())
            assert labels.other_classes(folder()) is None
            return
        output = OUTPUTS[form](target, _ITEMS, _SPEC)
        assert output.existing() == path
        for item in output.pending():
            assert item.name.startswith("seed")
        with closing(output.sample()) as samples:  # type: ignore[type-var]
            for sample in samples:
                assert sample.image.shape == (4, 4, 3)
    finally:
        path.unlink(missing_ok=True)
        (folder() / "images.npy").unlink(missing_ok=True)

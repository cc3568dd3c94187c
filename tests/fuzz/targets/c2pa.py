"""The C2PA manifest of an image, for `gantool inspect`: gantool finds it, and c2pa-python reads it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fuzz.harness import folder, put
from fuzz.mutate import mended, png_checksums
from gantool.export.inspect_image import image_facts
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding
from gantool.runtime.provenance.c2pa import signing
from helpers.certificates import issue

MUTATE = mended(png_checksums)
_IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def seeds() -> Iterator[bytes]:
    signer = issue(folder() / "signer")
    sign = signing(signer.chain, signer.key)
    for name in ENCODINGS:
        yield sign(Encoding(name).encode(_IMAGE), name)


def run(data: bytes) -> None:
    facts = image_facts(put("given", data))
    assert all(str(value).isprintable() for value in facts.values())

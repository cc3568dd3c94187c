"""The signature of an export, g.sig: nothing but what was signed passes."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from fuzz.harness import folder
from fuzz.mutate import json_values
from gantool.runtime.provenance.signature import signer, verify_signatures
from helpers.certificates import new_key, pem, public_pem


def MUTATE(data: bytes, most: int, seed: int) -> bytes:  # noqa: N802
    """Change the JSON of the signature, or the JSON that it signs."""
    if seed % 2:
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            outer = json.loads(data)
            payload = json_values(b64decode(outer["dsseEnvelope"]["payload"]), most, seed)
            outer["dsseEnvelope"]["payload"] = b64encode(payload).decode()
            return json.dumps(outer).encode()[:most]
    return json_values(data, most, seed)


def seeds() -> Iterator[bytes]:
    yield _signed().read_bytes()


def run(data: bytes) -> None:
    signature, public = _signed(), folder() / "public.pem"
    engine, altered = signature.with_suffix(".onnx"), signature.with_suffix(".fp16.onnx")
    signature.write_bytes(data)
    for given in (engine, altered, signature, signature.parent):
        for checked in verify_signatures([given], public):
            assert checked.problem.isprintable()
            assert checked.problem or checked.file == engine


@cache
def _signed() -> Path:
    """Return the signature of g.onnx; g.fp16.onnx beside it has other bytes than those that were signed."""
    place = folder() / "signed"
    place.mkdir()
    key = new_key()
    (folder() / "key.pem").write_bytes(pem(key))
    (folder() / "public.pem").write_bytes(public_pem(key))
    files = [place / "g.onnx", place / "g.fp16.onnx"]
    for file in files:
        file.write_bytes(file.name.encode())
    signer(folder() / "key.pem")(files, place / "g.sig")
    files[1].write_bytes(b"altered")
    return place / "g.sig"

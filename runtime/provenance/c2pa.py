"""C2PA: a signed manifest in the file of an image, which says that a trained model made it. By c2pa-python.

Nothing goes over a network: there is no time stamp of an authority, and what an image refers to is not fetched.
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import gantool
from gantool.runtime.errors import GantoolError, MissingDependencyError
from gantool.runtime.foreign import parse_json
from gantool.runtime.outputs.encoding import MEDIA_TYPES, Encoding, Name
from gantool.runtime.process.terminal import message_of, short
from gantool.runtime.provenance.embed import MANIFEST
from gantool.runtime.provenance.pictures import header_of
from gantool.runtime.provenance.xmp import SOURCE_TYPE

Sign = Callable[[bytes, Name], bytes]  # takes an image as a file, and "png"; returns it signed
_UNTRUSTED = "signingCredential.untrusted"
_SETTINGS = {
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Manifest:
    """What a signed manifest says, as C2PA's own reader finds it."""

    signer: str  # of the certificate; "" if it cannot be read
    generator: str  # "gantool 0.1.0"
    actions: tuple[str, ...]  # "c2pa.created"
    source_types: tuple[str, ...]  # SOURCE_TYPE in images of gantool
    trusted: bool  # whether the signer is on the reader's list of trusted ones
    problems: tuple[str, ...]  # C2PA's codes; (): it is valid


def signing(chain: Path, key: Path) -> Sign:
    """Return a function that adds a manifest to an image, signed with a key and its certificate chain, both PEM.

    It may be called in many threads. Raises MissingDependencyError, and GantoolError if key and chain do not fit.
    """
    library = _library("--mark c2pa")
    from gantool.runtime.provenance.signer import read_signer

    algorithm, certificates, secret = read_signer(chain, key)
    context, manifest = _context(library), _definition()

    def sign(data: bytes, name: Name) -> bytes:
        signed = io.BytesIO()
        with library.Builder(manifest, context=context) as builder:
            builder.sign(signer, MEDIA_TYPES[name], io.BytesIO(data), signed)
        return signed.getvalue()

    try:
        signer = library.Signer.from_info(
            library.C2paSignerInfo(algorithm.encode(), certificates, secret, None)
        )
        sign(Encoding().encode(np.zeros((1, 1, 1), np.uint8)), "png")  # before any image is made
    except library.C2paError as error:
        raise GantoolError(
            f"{chain}: C2PA refuses its first certificate ({message_of(error)}). It wants one that an authority "
            "has issued, that is valid today, for digital signatures (key usage), and for e-mail protection, "
            "documents or C2PA (extended key usage)"
        ) from error
    return sign


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest in an image; None if there is none. The file may come from anyone.

    Raises GantoolError for a damaged one, and MissingDependencyError for any if c2pa-python is not installed.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(MANIFEST) < 0:
            return None
    library = _library("to read the manifest of an image")
    with header_of(path) as picture:
        kind = Image.MIME.get(picture.format or "", "")
    try:
        with path.open("rb") as file, library.Reader(kind, file, context=_context(library)) as reader:
            return _manifest(parse_json(reader.json()))
    except (library.C2paError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise GantoolError(f"{path}: its C2PA manifest is damaged ({message_of(error)})") from error


def _definition() -> str:
    """Return what each manifest says, as JSON."""
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
    return json.dumps(
        {
            "claim_generator_info": [{"name": "gantool", "version": gantool.__version__}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [created]}}],
        }
    )


def _manifest(store: Mapping[str, Any]) -> Manifest:
    """Return the active manifest of a store, whose texts may be anything."""
    active = store["manifests"][store["active_manifest"]]
    signature = active.get("signature_info") or {}
    names = [signature.get("common_name"), signature.get("issuer")]
    made = [
        f"{info.get('name')} {info.get('version', '')}" for info in active.get("claim_generator_info", ())
    ]
    actions = [
        action
        for assertion in active.get("assertions", ())
        if str(assertion.get("label")).startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    codes = [str(each["code"]) for each in store.get("validation_status") or ()]
    return Manifest(
        signer=short(", ".join(str(name) for name in names if name)),
        generator=short(", ".join(made).strip()),
        actions=tuple(short(action.get("action")) for action in actions[:20]),
        source_types=tuple(
            short(action["digitalSourceType"], 120)
            for action in actions[:20]
            if "digitalSourceType" in action
        ),
        trusted=store.get("validation_state") == "Trusted",
        problems=tuple(short(code) for code in codes if code != _UNTRUSTED),
    )


def _context(library: Any) -> Any:
    return library.Context(library.Settings.from_dict(_SETTINGS))


def _library(purpose: str) -> Any:
    try:
        import c2pa
    except ModuleNotFoundError as error:
        raise MissingDependencyError("c2pa-python", "c2pa", purpose) from error
    return c2pa

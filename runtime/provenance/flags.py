"""Flags of signatures: of images, by C2PA, and of engines."""

# No `from __future__ import annotations`: as in the options of commands.

from pathlib import Path
from typing import Annotated

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag

C2paCertFlag = Annotated[
    Path | None,
    Flag(
        "certificates of whoever signs, the signer's own first",
        "--c2pa-cert",
        group="Provenance",
        metavar="CHAIN.pem",
    ),
]
C2paKeyFlag = Annotated[
    Path | None,
    Flag("private key of the first certificate", "--c2pa-key", group="Provenance", metavar="KEY.pem"),
]
RequireSignatureFlag = Annotated[
    Path | None,
    Flag(
        "refuse an engine that the owner of this public key did not sign, or that was altered since",
        group="Engine",
        metavar="PUB.pem",
    ),
]


def check_signer(mark: str, chain: Path | None, key: Path | None) -> None:
    """Raise UsageError for a signature without a signer, or for a signer without a signature."""
    for name, given in (("c2pa_cert", chain), ("c2pa_key", key)):
        if mark == "c2pa" and given is None:
            raise UsageError(
                f"`mark` c2pa needs `{name}`: give the certificates and the private key of whoever signs, as PEM"
            )
        if mark != "c2pa" and given is not None:
            raise UsageError(f"`{name}` is for signatures: add `mark` c2pa, or leave it out")

"""Flags of marks in images, and of signatures: of images, by C2PA, and of engines."""

# No `from __future__ import annotations`: as in the options of commands.

from pathlib import Path
from typing import Annotated, Literal

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, letters

MarkName = Literal["xmp", "c2pa", "none"]
MARK = "what each file says of itself: {choices}; xmp is that a generator made it, and how to make it again"

# The mark of images: flags of `generate`, of `morph` and of `serve`. The last two do not sign.
MarkFlag = Annotated[Literal["xmp", "none"], Flag(MARK, group="Provenance")]
CreditFlag = Annotated[
    str | None,
    Flag(
        "whom to credit, in the mark",
        group="Provenance",
        metavar="TEXT",
        check=letters(200),
        shown="author of the generator",
    ),
]
AigcFlag = Annotated[
    str | None,
    Flag(
        "also the label of China's GB 45438-2025: who provides the images, and a code of theirs",
        group="Provenance",
        metavar="PRODUCER[,CODE]",
        check=letters(200),
    ),
]
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


def check_mark(mark: MarkName, credit: str | None, aigc: str | None) -> None:
    """Raise UsageError for what belongs into a mark where there is none, and for an `aigc` that no mark can say."""
    for name, given in (("credit", credit), ("aigc", aigc)):
        if mark == "none" and given is not None:
            raise UsageError(f"`mark` none leaves no place for `{name}`: give one of them")
    if aigc is not None:
        parse_aigc(aigc)


def parse_aigc(text: str) -> tuple[str, str]:
    """Parse PRODUCER or PRODUCER,CODE; CODE is "" without one. Raises UsageError for an empty PRODUCER."""
    producer, _, code = text.partition(",")
    if not producer.strip() or not text.isprintable():
        raise UsageError(f"`aigc` {text!r}: give PRODUCER or PRODUCER,CODE in printable letters")
    return producer.strip(), code.strip()

"""An XMP packet, and the record of gantool in it.

Whatever encoding hides it, no packet passes with a declaration of a document type: its entities could expand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from xml.parsers import expat

from gantool.runtime.provenance.xmp import packet, parse_packet

_RECORD = (
    '{"gantool": "1.0", "graph": "' + 64 * "a" + '", "engine": "ONNX Runtime, CPU", "precision": "fp16", '
    '"seed": "1+2", "class": 3}'
)
PACKET = packet(_RECORD, "me & you", '{"Label": "1"}', "Cats", "CC0").encode()


def seeds() -> Iterator[bytes]:
    yield PACKET
    yield packet(_RECORD.replace('"seed": "1+2"', '"z": "AACAPwAAAEA="')).encode()
    yield b'<R xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description a="b"/></R>'
    declared = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    yield declared.encode()
    yield declared.encode("utf-16-le")
    yield declared.encode("utf-16-be")
    yield b'<?xml version="1.0" encoding="cp037"?>' + declared.encode("cp037")


def run(data: bytes) -> None:
    parse_packet(data)
    assert not _declares(data)


def _declares(data: bytes) -> bool:
    """Return whether expat finds a declaration of a document type."""
    found = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: found.append(True)
    with suppress(expat.ExpatError, ValueError, LookupError):
        parser.Parse(data.rstrip(b"\0"), True)
    return bool(found)

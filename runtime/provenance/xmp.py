"""The XMP packet of a mark: IPTC's digital source type, gantool's record, and texts of the generator's author.

XMP is a small RDF file inside of an image, which every photo program reads (ISO 16684-1). The source type is from
IPTC's vocabulary. The field AIGC is that of GB 45438-2025, in the namespace of the practice guides of TC260.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

from gantool.runtime.errors import GantoolError
from gantool.runtime.foreign import parse_json
from gantool.runtime.provenance.record import MAX_BYTES, Record, parse_record

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MAX_PACKET = 4 * MAX_BYTES  # bytes: escaping makes a record longer

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
_DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
_GANTOOL = "urn:gantool:mark:1:"  # a URI that nobody can serve, since there is no site
_PREFIXES = {
    "Iptc4xmpExt": _IPTC,
    "photoshop": _PHOTOSHOP,
    "dc": _DUBLIN_CORE,
    "TC260": _TC260,
    "gantool": _GANTOOL,
}
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL = '<?xpacket end="r"?>'


@dataclass(frozen=True)
class Mark:
    """What an image says of itself."""

    source_type: str | None  # SOURCE_TYPE in images of gantool
    record: Record | None = None
    credit: str | None = None
    aigc: Mapping[str, str] | None = None  # the fields of GB 45438-2025
    title: str | None = None  # of the generator
    licence: str | None = None


def packet(
    record: str,
    credit: str | None = None,
    aigc: str | None = None,
    title: str | None = None,
    licence: str | None = None,
) -> str:
    """Return the XMP packet of a mark; `record` and `aigc` are JSON. In a file it is UTF-8."""
    given = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "photoshop:Credit": credit,
        "dc:title": title,
        "dc:rights": licence,
        "TC260:AIGC": aigc,
        "gantool:record": record,
    }
    values = {name: value for name, value in given.items() if value is not None}
    prefixes = dict.fromkeys(name.partition(":")[0] for name in values)  # each once
    spaces = "".join(f' xmlns:{prefix}="{_PREFIXES[prefix]}"' for prefix in prefixes)
    inside = "".join(f"<{name}>{_in_form(name, value)}</{name}>" for name, value in values.items())
    return (
        f'{_HEAD}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about=""{spaces}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>{_TAIL}'
    )


def parse_packet(data: bytes) -> Mark | None:
    """Return the mark in an XMP packet; None if it has none of the fields.

    Raises GantoolError for a packet that is damaged, too large or may expand: it may come from anyone.
    """
    from xml.etree import ElementTree  # here, so that commands that write marks start faster
    from xml.parsers.expat import ExpatError

    if len(data) > MAX_PACKET:
        raise GantoolError(f"its XMP has {len(data):,} bytes, more than any mark")

    class Builder(ElementTree.TreeBuilder):
        def doctype(self, *_: object) -> None:
            """Refuse declarations in any encoding: their entities could expand."""
            raise GantoolError("its XMP has declarations, which no mark has")

    try:
        root = ElementTree.XML(data.rstrip(b"\0"), ElementTree.XMLParser(target=Builder()))
    except (ElementTree.ParseError, ExpatError, ValueError, LookupError, RecursionError):
        raise GantoolError("its XMP is not XML") from None
    found: dict[str, str] = {}
    for about in root.iter(f"{{{_RDF}}}Description"):
        found |= about.attrib  # a simple property may be an attribute
        found |= {child.tag: _text_of(child) for child in about}
    mark = Mark(
        found.get(f"{{{_IPTC}}}DigitalSourceType"),
        parse_record(found[f"{{{_GANTOOL}}}record"]) if f"{{{_GANTOOL}}}record" in found else None,
        found.get(f"{{{_PHOTOSHOP}}}Credit"),
        _fields(found.get(f"{{{_TC260}}}AIGC")),
        found.get(f"{{{_DUBLIN_CORE}}}title"),
        found.get(f"{{{_DUBLIN_CORE}}}rights"),
    )
    # title and rights say nothing about where an image is from: photos have them too
    return None if replace(mark, title=None, licence=None) == Mark(None) else mark


def _in_form(name: str, value: str) -> str:
    """Return the XML of a value; title and rights are texts in one or more languages."""
    if not name.startswith("dc:"):
        return escape(value, quote=False)
    return f'<rdf:Alt><rdf:li xml:lang="x-default">{escape(value, quote=False)}</rdf:li></rdf:Alt>'


def _text_of(field: Element) -> str:
    """Return the value of a field; of a text in several languages, the first one, which is the default."""
    first = field.find(f"{{{_RDF}}}Alt/{{{_RDF}}}li")
    return field.get(f"{{{_RDF}}}resource") or (field if first is None else first).text or ""


def _fields(text: str | None) -> dict[str, str] | None:
    """Return the fields of AIGC; those that are no text are left out."""
    if text is None:
        return None
    try:
        value = parse_json(text)
    except ValueError:
        raise GantoolError("its field AIGC is not JSON") from None
    if not isinstance(value, dict):
        raise GantoolError("its field AIGC is not an object")
    return {str(name): each for name, each in value.items() if isinstance(each, str)}

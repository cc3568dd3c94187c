"""The marks of one run: what all its images have in common is written once, so that a mark takes microseconds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gantool.runtime.authorship import UNKNOWN, Authorship
from gantool.runtime.errors import UsageError
from gantool.runtime.items import Item
from gantool.runtime.provenance.flags import parse_aigc
from gantool.runtime.provenance.record import MAX_BYTES, MAX_TEXT, MAX_TEXTS, Record, z_text
from gantool.runtime.provenance.xmp import SOURCE_TYPE, packet
from gantool.runtime.seeds import Row
from gantool.runtime.spec import Latents

# json.dumps would make an encoder for each image
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
ZOf = Callable[[list[Item]], Latents]  # z of items, float32 [n, latent]
_ID, _IMAGE = "\ue000", "\ue001"  # places of what differs; no option may have letters of private use


class Marker:
    """Makes the mark of each image of a run."""

    def __init__(
        self,
        common: Record,
        credit: str | None = None,
        aigc: str | None = None,
        z_of: ZOf | None = None,
        authorship: Authorship = UNKNOWN,
    ) -> None:
        """Prepare the marks of a run; raises UsageError for what a mark cannot hold.

        `z_of` computes the z of items that no seed makes alone; None if seeds make all of them. Without `credit`,
        the marks credit the author of the generator.
        """
        directions = common.direction
        if len(directions) > MAX_TEXTS or not all(
            each.isprintable() and len(each) <= MAX_TEXT for each in directions
        ):
            raise UsageError(
                f"`direction`: a mark holds {MAX_TEXTS} printable names of up to {MAX_TEXT} letters: "
                "give `mark` none"
            )
        self._common, self._credit, self._z_of = common, credit or authorship.author, z_of
        self._title, self._licence = authorship.title, authorship.licence
        self._aigc = None if aigc is None else parse_aigc(aigc)
        # a record ends with what differs, so its text is open there
        self._shared = _json(common.to_json())[:-1]
        text = self._packet(f"{self._shared},{_IMAGE}}}", _ID)
        self._parts = [part.encode() for part in re.split(f"[{_ID}{_IMAGE}]", text)]

    def packet(self, item: Item) -> bytes:
        """Return the XMP packet of the image of an item."""
        image = self._image(item)
        if len(self._parts) == 2:
            return self._parts[0] + image.encode() + self._parts[1]
        first, between, last = self._parts
        return first + self._id(image).encode() + between + image.encode() + last

    def of_several(self, seeds: str) -> bytes:
        """Return the XMP packet of a sheet or a film of these seeds."""
        text = seeds if len(seeds) <= MAX_TEXT else f"{seeds[: MAX_TEXT - 4]} ..."
        return self._packet(_json(replace(self._common, seeds=text).to_json()), self._id(text)).encode()

    def about(self, item: Item) -> dict[str, Any]:
        """Return the part of the record that is of this image alone, as JSON."""
        about: dict[str, Any] = json.loads(f"{{{self._image(item)}}}")
        return about

    def _image(self, item: Item) -> str:
        """Return the fields of the record that are of this image alone, as in `Record.to_json`: json is slower."""
        fields = [] if isinstance(item.seed, Row) else [f'"seed":"{item.seed}"']
        if self._z_of is not None:
            (z,) = self._z_of([item])
            fields.append(f'"z":"{z_text(z)}"')
        if item.shares is not None:
            fields.append(f'"class":{_json(item.shares)}')
        elif item.label is not None:
            fields.append(f'"class":{item.label}')
        image = ",".join(fields)
        if (letters := len(self._shared) + len(image)) >= MAX_BYTES:
            raise UsageError(
                f"a record of {letters:,} letters is too long for a mark, because of its z or of the shares of its "
                "classes: give `mark` none"
            )
        return image

    def beside(self, item: Item | None = None) -> dict[str, Any]:
        """Return the mark of an item's image, for a file beside it; without an item, what all have in common."""
        image = "" if item is None else self._image(item)
        mark = {
            "digital_source_type": SOURCE_TYPE,
            "title": self._title,
            "credit": self._credit,
            "licence": self._licence,
            "aigc": None if self._aigc is None else self._aigc_fields(self._id(image)),
            "record": {**self._common.to_json(), **json.loads(f"{{{image}}}")},
        }
        return {name: value for name, value in mark.items() if value is not None}

    def template(self) -> dict[str, Any]:
        """Return what another program makes marks of: the record, as JSON, and the packet around it.

        The program adds to the record what an image is of, and puts its text, escaped as XML, into the first place
        in the packet. The second is for the number of the record (see `_id`), and is there with `aigc`.
        """
        return {
            "record": self._common.to_json(),
            "packet": self._packet(_IMAGE, _ID),
            "places": [_IMAGE, _ID],
        }

    def _packet(self, record: str, number: str) -> str:
        aigc = None if self._aigc is None else _json(self._aigc_fields(number))
        return packet(record, self._credit, aigc, self._title, self._licence)

    def _aigc_fields(self, number: str) -> dict[str, str]:
        """Return the fields of GB 45438-2025; the last three are of whoever passes the image on."""
        assert self._aigc is not None
        producer, code = self._aigc
        return {
            "Label": "1",  # it is generated; 2 and 3 are of images that may be
            "ContentProducer": producer,
            "ProduceID": number,
            "ReservedCode1": code,
            "ContentPropagator": "",
            "PropagateID": "",
            "ReservedCode2": "",
        }

    def _id(self, image: str) -> str:
        """Return the number of an image: the same image has the same one."""
        return hashlib.sha256(f"{self._shared},{image}".encode()).hexdigest()[:32]

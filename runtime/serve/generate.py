"""POST /generate: the images of seeds or of z in one answer: a tar, an array or a multipart message.

An answer of more than a batch is sent as it is made, so its memory is that of a batch.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from gantool.runtime.classes import labeller
from gantool.runtime.errors import UsageError
from gantool.runtime.items import Item
from gantool.runtime.latents import check_truncation, check_z, rows_of
from gantool.runtime.outputs.npy import array_header
from gantool.runtime.outputs.webdataset import beside, key
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.seeds import Row, Seed, as_seeds
from gantool.runtime.serve.body import read_json
from gantool.runtime.serve.engines import Engine, Wanted, item_of
from gantool.runtime.serve.pixels import MEDIA_TYPES, Name, encode, ground
from gantool.runtime.serve.queries import GenerateQuery, shown
from gantool.runtime.serve.service import Service, check_seed, unless_gone
from gantool.runtime.serve.streamed import Streamed, joined
from gantool.runtime.spec import Images, Latents

Form: TypeAlias = Literal["tar", "npy", "multipart"]
BOUNDARY = "gantool-image"
TYPES: dict[Form, str] = {
    "tar": "application/x-tar",
    "npy": "application/x-npy",
    "multipart": f"multipart/mixed; boundary={BOUNDARY}",
}
FIELDS = ("model", "seeds", "z", "trunc", "class", "image")


@dataclass(frozen=True)
class Asked:
    """The images that a request asks for."""

    engine: Engine
    items: list[Item]
    wanted: Wanted
    marker: Marker | None
    image: Name  # format of each image in a tar and in a multipart message


async def generate(service: Service, request: Request, query: GenerateQuery) -> Response:
    """Answer with images in the form that the client asked for."""
    form = _form(query.format, request.headers.get("accept", ""))
    asked = _asked(service, await read_json(request, service.options))
    pack = _packer(asked, form)
    head, tail = _ends(asked, form)
    batches = service.batches(asked.wanted)
    if len(batches) == 1:
        work = service.line.submit(asked.engine, asked.wanted, lambda images: pack(asked.items, images))
        data = head + await unless_gone(request, work) + tail
        return Response(data, media_type=TYPES[form])
    parts = _parts(service, asked, pack)
    first = await unless_gone(request, parts.__anext__())  # its errors still have a status
    return Streamed(joined(head + first, parts, tail), TYPES[form])


async def _parts(
    service: Service, asked: Asked, pack: Callable[[Sequence[Item], Images], bytes]
) -> AsyncGenerator[bytes, None]:
    start = 0
    with service.long():
        for batch in service.batches(asked.wanted):
            finish = partial(pack, asked.items[start : start + len(batch)])
            start += len(batch)
            yield await service.line.submit(asked.engine, batch, finish, admitted=True)


def _form(asked: str | None, accept: str) -> Form:
    """Return the form of the answer, from ?format= or from the header Accept; a tar if neither says it."""
    for form in TYPES:
        if asked == form:
            return form
    for form, kind in TYPES.items():
        if kind.partition(";")[0] in accept.lower():
            return form
    return "tar"


def _asked(service: Service, given: dict[str, Any]) -> Asked:
    """Return what the JSON object of a request asks for. Raises UsageError."""
    for name in given:
        if name not in FIELDS:
            raise UsageError(f"{shown(name)} is not a field: give {', '.join(FIELDS)}")
    engine = service.engine(_text(given, "model"))
    spec, label = engine.spec, given.get("class")
    truncation = given.get("trunc", 1.0)
    if isinstance(truncation, bool) or not isinstance(truncation, (int, float)) or abs(truncation) > 1e300:
        raise UsageError("trunc: give a number, usually from 0 to 1")  # JSON's whole numbers have no end
    if isinstance(label, (dict, bool)):
        raise UsageError("class: give a name, a number, or a list of one for each image")
    seeds, z = given.get("seeds"), given.get("z")
    if (seeds is None) == (z is None):
        raise UsageError('give "seeds" or "z", as in {"seeds": "0-9"}')
    of: list[Seed]
    z_of = None
    if z is not None:
        if truncation != 1:
            raise UsageError("z is used as it is: leave trunc out")
        rows = check_z(_rows(z), spec.latent)
        service.check_count(len(rows))
        of, keys, z_of = [Row(number) for number in range(len(rows))], list(rows), partial(_rows_of, rows)
    else:
        check_truncation(float(truncation), None, spec.distribution)
        of = _seeds(service, seeds)
        keys = [(seed, float(truncation)) for seed in of]
    labels = [of_image for _, of_image in labeller(label, spec, len(of))(of)]
    items = [item_of(seed, each) for seed, each in zip(of, labels, strict=True)]
    image = _image(given)
    marker = engine.marker(float(truncation), ground(spec, image), z_of)
    return Asked(engine, items, list(zip(keys, labels, strict=True)), marker, image)


def _rows_of(rows: Latents, items: Sequence[Item]) -> Latents:
    """Return the z of items, [n, latent]."""
    return rows_of(rows, [item.seed for item in items])


def _seeds(service: Service, given: Any) -> list[Seed]:
    if isinstance(given, str):
        return service.seeds(given)
    if not isinstance(given, list) or any(isinstance(each, bool) for each in given):
        raise UsageError('seeds: give text, as in "0-9", or a list, as in [0, 5, "1+2"]')
    service.check_count(len(given))
    return [check_seed(seed) for seed in as_seeds(given)]


def _rows(z: Any) -> Any:
    if not isinstance(z, list):
        raise UsageError("z: give a list of rows, each a list of numbers")
    return z


def _image(given: dict[str, Any]) -> Name:
    for name in MEDIA_TYPES:
        if given.get("image", "png") == name:
            return name
    raise UsageError(f"image: give {', '.join(MEDIA_TYPES)}")


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{name}: give text")
    return value


def _packer(asked: Asked, form: Form) -> Callable[[Sequence[Item], Images], bytes]:
    """Return what turns items and their images into bytes of the answer."""
    if form == "npy":
        return lambda _, images: np.ascontiguousarray(images, images.dtype.newbyteorder("<")).tobytes()
    names = asked.engine.spec.class_names

    def pack(items: Sequence[Item], images: Images) -> bytes:
        done = bytearray()
        for item, image in zip(items, images, strict=True):
            packet = None if asked.marker is None else asked.marker.packet(item)
            data = encode(image, asked.image, packet=packet)
            if form == "multipart":
                done += _part(item, asked.image, data)
            else:
                for suffix, content in ((asked.image, data), *beside(item, names, asked.marker)):
                    done += _member(f"{key(item)}.{suffix}", content)
        return bytes(done)

    return pack


def _ends(asked: Asked, form: Form) -> tuple[bytes, bytes]:
    """Return what comes before the images and after them."""
    if form == "tar":
        return b"", bytes(2 * tarfile.BLOCKSIZE)
    if form == "multipart":
        return b"", f"--{BOUNDARY}--\r\n".encode()
    spec = asked.engine.spec
    shape = (len(asked.items), spec.height, spec.width, spec.channels)
    return array_header(shape, np.dtype(f"<u{spec.bits // 8}")), b""


def _part(item: Item, image: Name, data: bytes) -> bytes:
    head = (
        f"--{BOUNDARY}\r\nContent-Type: {MEDIA_TYPES[image]}\r\nContent-Length: {len(data)}\r\n"
        f'Content-Disposition: attachment; filename="{item.name}.{image}"\r\n\r\n'
    )
    return head.encode() + data + b"\r\n"


def _member(name: str, data: bytes) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)

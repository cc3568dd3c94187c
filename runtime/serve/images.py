"""GET /images/SEED.png and GET /grid.png: pictures that never change, so that every cache may keep them."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gantool.runtime.seeds import parse_seed
from gantool.runtime.serve.engines import Engine, Wanted, item_of
from gantool.runtime.serve.pixels import (
    MEDIA_TYPES,
    Name,
    check_sheet,
    columns_of,
    encode,
    encode_sheet,
    ground,
)
from gantool.runtime.serve.queries import GridQuery, ImageQuery, shown
from gantool.runtime.serve.service import Refused, Service, etag, matches, unless_gone

DAY = 24 * 3600  # seconds: then a cache asks again, and learns that the server has another engine


async def image(service: Service, request: Request, query: ImageQuery) -> Response:
    """Answer with the image of a seed."""
    text, _, suffix = request.path_params["file"].rpartition(".")
    name = _name(text, suffix)
    engine = service.engine(query.look.model)
    seed = parse_seed(text)
    service.check_size(query.size)
    wanted = service.wanted(engine, query.look, [seed])
    (((_, truncation), label),) = wanted
    tag = etag(engine, "image", str(seed), truncation, label, query.size, name)
    if answer := unchanged(service, request, tag):
        return answer
    packet = packet_of(engine, wanted, name)
    work = service.line.submit(engine, wanted, lambda images: encode(images[0], name, query.size, packet))
    data = await unless_gone(request, work)
    return Response(data, headers=cached(service, tag), media_type=MEDIA_TYPES[name])


async def grid(service: Service, request: Request, query: GridQuery) -> Response:
    """Answer with a sheet of images."""
    engine = service.engine(query.look.model)
    seeds = service.seeds(query.seeds, query.steps)
    columns = columns_of(len(seeds), query.columns)
    check_sheet(engine.spec, len(seeds), columns)
    wanted = service.wanted(engine, query.look, seeds)
    labels = [label for _, label in wanted]
    tag = etag(engine, "grid", list(map(str, seeds)), query.look.truncation, labels, columns)
    if answer := unchanged(service, request, tag):
        return answer
    marker = engine.marker(query.look.truncation)
    packet = None if marker is None else marker.of_several(", ".join(map(str, seeds)))
    finish = partial(encode_sheet, columns=columns, packet=packet)
    data = await unless_gone(request, service.answer(engine, wanted, finish))
    return Response(data, headers=cached(service, tag), media_type="image/png")


def packet_of(engine: Engine, wanted: Wanted, name: Name) -> bytes | None:
    """Return the XMP packet with the mark of the image of one seed; None if there are no marks."""
    ((key, label),) = wanted
    assert isinstance(key, tuple)
    seed, truncation = key
    marker = engine.marker(truncation, ground(engine.spec, name))
    return None if marker is None else marker.packet(item_of(seed, label))


def unchanged(service: Service, request: Request, tag: str) -> Response | None:
    """Return the answer to a client that has the answer with this tag already, or None."""
    return Response(status_code=304, headers=cached(service, tag)) if matches(request, tag) else None


def cached(service: Service, tag: str) -> dict[str, str]:
    """Return the headers of an answer that caches may keep; one that needs a token is for its client alone."""
    whose = "private" if service.options.secret else "public"
    return {"etag": tag, "cache-control": f"{whose}, max-age={DAY}, immutable"}


def _name(text: str, suffix: str) -> Name:
    for name in MEDIA_TYPES:
        if suffix == name and text:
            return name
    raise Refused(
        404, f"there is no image {shown(f'{text}.{suffix}')}: ask for .png, .webp or .jpg, as in 5.png"
    )

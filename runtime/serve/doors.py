"""The table of doors: each address, its parameters, what it answers, and the function behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from gantool.runtime.serve import film, generate, health, images, kserve, openapi, page, pixels, stream
from gantool.runtime.serve.queries import (
    FilmQuery,
    GenerateQuery,
    GridQuery,
    HealthQuery,
    ImageQuery,
    ModelQuery,
    NoQuery,
    StreamQuery,
    parse,
)
from gantool.runtime.serve.service import Service

JSON = "application/json"
DOOR = "gantool.door"  # key in the scope of a request
OPEN = {"/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}  # without a token


@dataclass(frozen=True)
class Door:
    """One address."""

    path: str
    answer: Callable[[Service, Request, Any], Awaitable[Response]]
    summary: str
    types: tuple[str, ...] = (JSON,)  # of the answer
    query: type = NoQuery
    method: str = "GET"
    body: str = ""  # its type
    statuses: tuple[int, ...] = ()  # beside 200 and those of every door
    queued: bool = False  # its images wait in the line


def _model_doors() -> tuple[Door, ...]:
    """Return the doors of a model, with and without a version in the path."""
    found = []
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Door(path, kserve.model, "The tensors of a model", statuses=(404,)),
            Door(f"{path}/ready", kserve.ready, "Is the model loaded?", statuses=(404,)),
            Door(f"{path}/config", kserve.config, "The configuration of a model", statuses=(404,)),
            Door(
                f"{path}/infer",
                kserve.infer,
                "Images of z, by the Open Inference Protocol",
                types=(JSON, "application/octet-stream"),
                method="POST",
                body=JSON,
                statuses=(404, 408, 413, 415),
                queued=True,
            ),
        ]
    return tuple(found)


DOORS = (
    Door("/", page.page, "The page: look at the generator", ("text/html",), ModelQuery, statuses=(404,)),
    Door("/page/info.json", page.about, "What the page knows", query=ModelQuery, statuses=(404, 501)),
    Door(
        "/images/{file}",
        images.image,
        "The image of a seed or a mix: 5.png, 5.webp, 1+2.jpg",
        tuple(pixels.MEDIA_TYPES.values()),
        ImageQuery,
        statuses=(304, 404),
        queued=True,
    ),
    Door(
        "/grid.png",
        images.grid,
        "A sheet of images",
        ("image/png",),
        GridQuery,
        statuses=(304, 404),
        queued=True,
    ),
    Door(
        "/generate",
        generate.generate,
        "The images of seeds or of z in one answer",
        ("application/x-tar", "application/x-npy", "multipart/mixed"),
        GenerateQuery,
        "POST",
        JSON,
        (404, 408, 413, 415),
        queued=True,
    ),
    Door(
        "/morph.{kind}",
        film.film,
        "A film of a walk from seed to seed: morph.mp4, morph.webp or morph.gif",
        tuple(film.MEDIA_TYPES.values()),
        FilmQuery,
        statuses=(304, 404, 501),
    ),
    Door(
        "/stream.mjpg",
        stream.stream,
        "An endless stream of JPEGs, as cameras send it",
        ("multipart/x-mixed-replace",),
        StreamQuery,
        statuses=(404,),
    ),
    Door("/healthz", health.alive, "Is the server alive?", query=HealthQuery),
    Door("/readyz", health.ready, "Are requests welcome?"),
    Door("/metrics", health.metrics, "Counters for Prometheus", ("text/plain",)),
    Door("/openapi.json", openapi.description, "This description"),
    Door("/v2", kserve.server, "The Open Inference Protocol: what the server is"),
    Door("/v2/health/live", health.alive, "Is the server alive?", query=HealthQuery),
    Door("/v2/health/ready", health.ready, "Are requests welcome?"),
    Door("/v2/repository/index", kserve.index, "The models", method="POST"),
    *_model_doors(),
)


def router(service: Service) -> Router:
    """Return the ASGI application of all doors."""
    return Router(
        [Route(door.path, _endpoint(service, door), methods=[door.method]) for door in DOORS],
        redirect_slashes=False,
    )


def _endpoint(service: Service, door: Door) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        request.scope[DOOR] = door.path
        if door.queued and "if-none-match" not in request.headers:
            service.line.check_room()  # before the work of reading what is asked for
        query: Any = parse(door.query, request.query_params.multi_items())
        return await door.answer(service, request, query)

    return answer

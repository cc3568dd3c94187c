"""GET /: the page of a generator, whose engine is this server, and what it asks for first."""

from __future__ import annotations

from functools import cache

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gantool.runtime.errors import GantoolError
from gantool.runtime.serve.answers import Json
from gantool.runtime.serve.queries import ModelQuery
from gantool.runtime.serve.service import Refused, Service
from gantool.runtime.web.page import info, server_page


async def page(service: Service, request: Request, query: ModelQuery) -> Response:  # noqa: ARG001
    """Answer with the page. It needs no token, and asks its user for it."""
    engine = service.engine(query.model)
    return HTMLResponse(_html(engine.name), headers={"cache-control": "no-cache"})


async def about(service: Service, request: Request, query: ModelQuery) -> Response:  # noqa: ARG001
    """Answer with what the page knows of a generator."""
    engine = service.engine(query.model)
    try:
        found = info(engine.name, engine.file, engine.sha256, engine.spec, engine.directions)
    except GantoolError as error:  # it does not say how many classes it has
        raise Refused(501, str(error)) from error
    marker = engine.marker(1.0)
    if marker is not None:
        found["mark"] = marker.template()
    if len(service.engines) > 1:
        found["models"] = list(service.engines)
    return Json(found, headers={"cache-control": "no-cache"})


@cache
def _html(name: str) -> str:
    return server_page(f"gantool {name}")

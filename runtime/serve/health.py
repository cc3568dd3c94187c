"""Is the server alive, ready, and are its images still right? And what it has counted.

The golden images are those that the engines made when the server started: a file of an engine has none. So a check
shows what changed since, as a driver that fails or a bit that flipped. Whether an engine was right at the start,
`gantool verify` and `gantool doctor --selftest` tell.
"""

from __future__ import annotations

import asyncio

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from gantool.runtime.serve.answers import Json
from gantool.runtime.serve.batching import BusyError, itself
from gantool.runtime.serve.queries import HealthQuery, NoQuery
from gantool.runtime.serve.service import Refused, Service


async def alive(service: Service, request: Request, query: HealthQuery) -> Response:  # noqa: ARG001
    """Answer that the process is alive or, with ?deep=1, whether the golden seeds give their images."""
    if not query.deep:
        return Json({"status": "ok"})
    if service.checking is None or service.checking.done():  # requests that come meanwhile share its result
        service.checking = asyncio.create_task(_check(service))
    models = await asyncio.shield(service.checking)
    if all(each["golden"] == each["equal"] for each in models.values()):
        return Json({"status": "ok", "models": models})
    error = "golden seeds give other images than when the server started: restart it, and test the machine"
    return Json({"error": error, "models": models}, 503)


async def _check(service: Service) -> dict[str, dict[str, int]]:
    """Return, by model, how many golden seeds there are, and how many give their images."""
    models = {}
    for name, engine in service.engines.items():
        made = [
            # alone: in the batches of the start, since another batch may round differently
            await service.line.submit(engine, batch, itself, alone=True, admitted=True)
            for batch in service.batches(engine.golden())
        ]
        pairs = zip(np.concatenate(made), service.golden[name], strict=True)
        models[name] = {
            "golden": len(service.golden[name]),
            "equal": sum(np.array_equal(one, other) for one, other in pairs),
        }
    return models


async def ready(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer whether requests are welcome."""
    if service.closing:
        raise Refused(503, "the server is ending")
    for name in sorted(service.line.failed):
        # a batch tells whether it still fails: where only ready servers get requests, no other one comes
        engine = service.engines[name]
        try:
            await service.line.submit(engine, engine.golden()[:1], lambda _: None)
        except BusyError:
            raise
        except Exception as error:
            raise Refused(
                503, f"the engine of {name} failed on its last batch; the server's log says how"
            ) from error
    return Json({"status": "ready", "models": list(service.engines)})


async def metrics(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with the counters, for Prometheus."""
    text = service.metrics.text(service.line.waiting)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

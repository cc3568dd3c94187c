"""GET /openapi.json: the doors for programs, from the table of doors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

import gantool
from gantool.runtime.commands import CHOICES
from gantool.runtime.flags import Option
from gantool.runtime.serve.answers import Json
from gantool.runtime.serve.queries import NoQuery, parameters
from gantool.runtime.serve.service import Service

if TYPE_CHECKING:
    from gantool.runtime.serve.doors import Door

_KINDS: dict[type, str] = {int: "integer", float: "number", bool: "boolean", str: "string"}
_TEXTS = {
    200: "The answer",
    304: "Not changed since the answer with this ETag",
    400: "A parameter or the body is wrong; the error says how",
    401: "The token is missing or wrong",
    404: "There is no such model or file",
    405: "Another method",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON",
    421: "The server is not called by this name",
    501: "The server lacks what this needs",
    503: "The server is busy: come again after the seconds in Retry-After",
}
_EVERY = (400, 405, 421, 503)
_NUMBER = {"type": "number"}
_SEEDS = "^[0-9][-0-9,.+*x~@of ]*"  # the characters of seeds, mixes and walks
_IMAGES_BODY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "model": {"type": "string", "description": "name of the model, if the server has several"},
        "seeds": {
            "description": "as in gantool generate",
            "oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
            ],
        },
        "z": {
            "description": "instead of seeds, [N, latent]",
            "type": "array",
            "items": {"type": "array", "items": _NUMBER},
        },
        "trunc": _NUMBER,
        "class": {
            "description": "of all images, or one for each; of soft labels also shares",
            "anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "array"}],
        },
        "image": {"enum": ["png", "webp", "jpg"], "default": "png"},
    },
    "example": {"seeds": "0-9"},
}
_TENSORS = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"enum": ["z", "label"]},
                    "datatype": {"enum": ["FP32", "INT64", "INT32"]},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    "data": {"type": "array"},
                    "parameters": {"type": "object"},
                },
            },
        },
        "outputs": {"type": "array", "items": {"type": "object"}},
        "parameters": {"type": "object"},
    },
}


async def description(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with the description of all doors."""
    from gantool.runtime.serve.doors import DOORS, OPEN  # the table names this function

    paths: dict[str, Any] = {}
    for door in DOORS:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(service, door, door.path in OPEN)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "gantool serve",
            "version": gantool.__version__,
            "description": f"Images of {', '.join(service.engines)}, up to {service.options.max_seeds} a request.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            }
        },
    }
    if service.options.secret:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return Json(found)


def _operation(service: Service, door: Door, is_open: bool) -> dict[str, Any]:
    token = bool(service.options.secret) and not is_open
    statuses = sorted({*door.statuses, *_EVERY, *((401,) if token else ())})
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: dict[str, Any] = {
        "200": {"description": _TEXTS[200], "content": {kind: {} for kind in door.types}},
        **{
            str(status): {"description": _TEXTS[status], **({} if status == 304 else {"content": error})}
            for status in statuses
        },
    }
    found: dict[str, Any] = {
        "summary": door.summary,
        "parameters": [
            *(_in_path(service, name) for name in re.findall(r"{(\w+)}", door.path)),
            *(_in_query(name, option) for name, option in parameters(door.query).items()),
        ],
        "responses": responses,
    }
    if door.body:
        schema = _TENSORS if door.path.endswith("/infer") else _IMAGES_BODY
        found["requestBody"] = {"required": True, "content": {door.body: {"schema": schema}}}
    if token:
        found["security"] = [{"token": []}]
    return found


def _in_path(service: Service, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "file":
        schema = {"type": "string", "pattern": rf"{_SEEDS}\.(png|webp|jpg)$", "examples": ["5.png"]}
    elif name == "kind":
        schema = {"enum": ["mp4", "webp", "gif"]}
    elif name == "model":
        schema = {"enum": list(service.engines)}
    elif name == "version":
        schema = {"enum": ["1"]}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, option: Option) -> dict[str, Any]:
    assert option.flag is not None
    schema: dict[str, Any] = {"type": _KINDS[option.kind]}
    if option.choices:
        schema = {"enum": list(option.choices)}
    if name == "seeds":
        schema["pattern"] = f"{_SEEDS}$"
    if option.default is not None:
        schema["default"] = option.default
    text = option.flag.help.replace(CHOICES, ", ".join(map(str, option.choices)))
    return {"name": name, "in": "query", "schema": schema, "description": text}

"""The Open Inference Protocol (KServe v2) with binary tensors, so that `tritonclient` and others work unchanged.

Sources: "Open Inference Protocol (V2)" and "Binary Tensor Data Extension" of KServe. Triton's clients also ask for
the index of the models and for a configuration: its extensions "Model Repository" and "Model Configuration".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from gantool.runtime.classes import labeller
from gantool.runtime.errors import UsageError
from gantool.runtime.latents import check_z
from gantool.runtime.serve.answers import Json
from gantool.runtime.serve.body import parse, read
from gantool.runtime.serve.engines import Engine
from gantool.runtime.serve.queries import NoQuery, shown
from gantool.runtime.serve.service import Refused, Service, unless_gone, versions
from gantool.runtime.spec import Images, Spec

VERSION = "1"
_HEADER = "inference-header-content-length"
_TYPES = {"FP32": "<f4", "INT64": "<i8", "INT32": "<i4"}


async def server(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with what the server is."""
    extensions = ["binary_tensor_data", "model_repository", "model_configuration"]
    return Json({"name": "gantool", "version": versions()[0], "extensions": extensions})


async def index(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with the models."""
    return Json([{"name": name, "version": VERSION, "state": "READY"} for name in service.engines])


async def model(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with the tensors of a model."""
    engine = _engine(service, request)
    return Json(
        {
            "name": engine.name,
            "versions": [VERSION],
            "platform": "gantool",
            "inputs": [
                {"name": name, "datatype": kind, "shape": [-1, *shape]}
                for name, (kind, shape) in inputs_of(engine.spec).items()
            ],
            "outputs": [_images(engine.spec, -1)],
            "parameters": {
                "sha256": engine.sha256,
                "distribution": engine.spec.distribution,
                **engine.spec.authorship.to_json(),
            },
        }
    )


async def ready(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer 200 if the model is loaded, as all are."""
    engine = _engine(service, request)
    return Json({"name": engine.name, "ready": True})


async def config(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with the configuration of a model, as Triton has it."""
    engine = _engine(service, request)
    spec = engine.spec
    return Json(
        {
            "name": engine.name,
            "platform": "gantool",
            "max_batch_size": service.options.max_seeds,
            "input": [
                {"name": name, "data_type": f"TYPE_{kind}", "dims": list(shape) or [1]}
                for name, (kind, shape) in inputs_of(spec).items()
            ],
            "output": [
                {
                    "name": "images",
                    "data_type": f"TYPE_UINT{spec.bits}",
                    "dims": _images(spec, -1)["shape"][1:],
                }
            ],
        }
    )


async def infer(service: Service, request: Request, query: NoQuery) -> Response:  # noqa: ARG001
    """Answer with the images of z and labels."""
    engine = _engine(service, request)
    asked = _asked(engine, await read(request, service.options), request.headers.get(_HEADER))
    service.check_count(len(asked.z))
    pairs = labeller(asked.label, engine.spec, len(asked.z))(list(asked.z))
    data = await unless_gone(request, service.answer(engine, list(pairs), asked.finish))
    head = {"model_name": engine.name, "model_version": VERSION}
    if asked.id is not None:
        head["id"] = asked.id
    output = _images(engine.spec, len(asked.z))
    if not asked.binary:
        start, end = json.dumps({**head, "outputs": [{**output, "data": []}]}).encode()[:-4], b"]}]}"
        return Response(start + data + end, media_type="application/json")
    text = json.dumps(
        {**head, "outputs": [{**output, "parameters": {"binary_data_size": len(data)}}]}
    ).encode()
    headers = {_HEADER: str(len(text))}
    return Response(text + data, headers=headers, media_type="application/octet-stream")


@dataclass(frozen=True, eq=False)
class Asked:
    """The inputs of a request, and how it wants the images."""

    z: NDArray[np.float32]  # [N, latent]
    label: NDArray[Any] | None  # [N] or [N, classes]
    binary: bool
    id: str | None

    def finish(self, images: Images) -> bytes:
        """Return the levels of images, as they are or as JSON's numbers.

        As JSON, one image at a time: all together would hold the interpreter for seconds, and much memory.
        """
        if self.binary:
            return np.ascontiguousarray(images, images.dtype.newbyteorder("<")).tobytes()
        return b",".join(json.dumps(image.reshape(-1).tolist())[1:-1].encode() for image in images)


def inputs_of(spec: Spec) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of an image's inputs by name."""
    inputs: dict[str, tuple[str, tuple[int, ...]]] = {"z": ("FP32", (spec.latent,))}
    if spec.classes != 0:
        inputs["label"] = ("FP32" if spec.soft_labels else "INT64", spec.label_shape)
    return inputs


def _images(spec: Spec, count: int) -> dict[str, Any]:
    shape = [count, spec.height, spec.width, spec.channels]
    return {"name": "images", "datatype": f"UINT{spec.bits}", "shape": shape}


def _engine(service: Service, request: Request) -> Engine:
    """Return the engine in the path. Raises Refused for an unknown model or version."""
    engine = service.engine(request.path_params["model"])
    if (wanted := request.path_params.get("version", VERSION)) != VERSION:
        raise Refused(404, f"{engine.name} has no version {shown(wanted)}: it has {VERSION}")
    return engine


def _asked(engine: Engine, body: bytes, length: str | None) -> Asked:
    """Return what is in the body of a request: JSON, and binary tensors after it. Raises UsageError."""
    size = len(body)
    if length is not None:
        if not (length.isascii() and length.isdecimal() and int(length[:19]) <= len(body)):
            raise UsageError(
                f"Inference-Header-Content-Length {shown(length)}: the body has {len(body):,} bytes"
            )
        size = int(length)
    given, rest = parse(body[:size]), memoryview(body)[size:]
    tensors: dict[str, NDArray[Any]] = {}
    for each in _list(given, "inputs"):
        name = each.get("name")
        if not isinstance(name, str) or name not in inputs_of(engine.spec) or name in tensors:
            known = ", ".join(inputs_of(engine.spec))
            raise UsageError(f"input {shown(str(name))}: {engine.name} takes {known}, each once")
        tensors[name], rest = _tensor(engine, name, each, rest)
    if len(rest):
        raise UsageError(f"{len(rest):,} bytes follow the last binary tensor")
    if missing := [name for name in inputs_of(engine.spec) if name not in tensors]:
        raise UsageError(
            f"input {missing[0]} is missing: {engine.name} takes {', '.join(inputs_of(engine.spec))}"
        )
    label = tensors.get("label")
    if label is not None and not engine.spec.soft_labels and label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]  # as in Triton's configuration, which has no [N]
    identity = given.get("id")
    name = identity if isinstance(identity, str) else None
    return Asked(check_z(tensors["z"], engine.spec.latent), label, _binary(given), name)


def _binary(given: dict[str, Any]) -> bool:
    """Return whether the images are asked for as binary data. Raises UsageError for another output."""
    binary = _flag(given, "binary_data_output")
    for each in _list(given, "outputs", required=False):
        if each.get("name") != "images":
            raise UsageError(f"output {shown(str(each.get('name')))}: there is one, images")
        binary = _flag(each, "binary_data", binary)
    return binary


def _tensor(
    engine: Engine, name: str, given: dict[str, Any], rest: memoryview
) -> tuple[NDArray[Any], memoryview]:
    """Return an input, and the bytes after it. Raises UsageError."""
    kind, _ = inputs_of(engine.spec)[name]
    datatype, shape = given.get("datatype"), given.get("shape")
    if datatype != kind and (kind, datatype) != ("INT64", "INT32"):
        raise UsageError(f"input {name}: its datatype is {shown(str(datatype))}, expected {kind}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 4 or not all(map(_side, shape)):
        raise UsageError(f"input {name}: its shape is {shown(str(shape))}, expected a list of sides")
    count = int(np.prod(shape, dtype=object))
    dtype = np.dtype(_TYPES[str(datatype)])
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise UsageError(f"input {name}: its parameters are not an object")
    if "shared_memory_region" in parameters:
        raise UsageError(f"input {name}: this server reads no shared memory: send the tensor in the body")
    if "binary_data_size" not in parameters:
        return _from_json(name, given.get("data"), dtype, count).reshape(shape), rest
    size = parameters["binary_data_size"]
    if type(size) is not int or size != count * dtype.itemsize or size > len(rest):
        raise UsageError(
            f"input {name}: binary_data_size is {shown(str(size))}, expected {count * dtype.itemsize}, and "
            f"{len(rest)} bytes are left"
        )
    return np.frombuffer(rest[:size], dtype).reshape(shape), rest[size:]


def _from_json(name: str, data: Any, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return numbers in a list, flat or nested. Raises UsageError."""
    try:
        found = np.asarray(data)
    except ValueError:
        found = np.empty(0, object)
    if found.dtype.kind not in ("fi" if dtype.kind == "f" else "i") or found.size != count:
        raise UsageError(f"input {name}: its data are not the {count} numbers of its shape")
    with np.errstate(over="ignore"):  # what is infinite then is refused later
        return found.reshape(-1).astype(dtype)


def _side(side: Any) -> bool:
    return type(side) is int and 0 <= side < 2**31


def _list(given: dict[str, Any], name: str, *, required: bool = True) -> list[dict[str, Any]]:
    found = given.get(name)
    if found is None and not required:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{name}: give a list of tensors")
    return found


def _flag(given: dict[str, Any], name: str, default: bool = False) -> bool:
    parameters = given.get("parameters") or {}
    value = parameters.get(name, default) if isinstance(parameters, dict) else default
    if not isinstance(value, bool):
        raise UsageError(f"{name}: give true or false")
    return value

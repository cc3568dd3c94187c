"""The page of a generator: seeds to scroll through, sliders, walks.

`gantool export --web` writes it as one file with the engine inside; `gantool serve` answers with it, and then the
server is the engine. The page knows an engine by two things (browser.js and server.js are the two that there are):

    engine.info                     the object that `info` returns
    engine.images(z, labels, n)     a promise of the levels of n images: Uint8Array of n·H·W·C (Uint16Array for 16
                                    bits); z is a Float32Array of n·latent; labels is null, an Int32Array of n, or,
                                    for soft labels, a Float32Array of n·classes

The page of a server asks it for these, all beside its own address, so that it may lie under any path:

    GET  page/info.json[?model=NAME]     `info`, with "models", the names of all models, if there are several
    POST v2/models/NAME/infer            KServe v2 with binary tensors: z FP32 [n, latent] and, of a conditional
                                         generator, label INT64 [n] (soft labels: FP32 [n, classes]) in; images
                                         UINT8 [n, H, W, C] (or UINT16, or FP32 [n, C, H, W]) out
    401 at either                        it asks a person for the token, and sends "Authorization: Bearer …"
    503 with Retry-After                 it waits and asks again, up to five times
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError
from gantool.runtime.spec import Spec
from gantool.runtime.web.document import POLICY, document
from gantool.runtime.web.page.modules import joined

# The page of a server may ask that server, and nobody else.
SERVER_POLICY = POLICY.replace("connect-src ", "connect-src 'self' ")


@dataclass(frozen=True)
class WebRuntime:
    """ONNX Runtime for browsers."""

    version: str
    script: bytes  # an ES module
    wasm: bytes


def info(
    name: str, file: str, sha256: str, spec: Spec, directions: Directions | None = None
) -> dict[str, Any]:
    """Return what the page knows of a generator, as JSON.

        name: of the model        file: name of the engine's file                     hash: its SHA-256
        size: [height, width]     channels: 1, 3 or 4                                 bits: 8 or 16
        latent: size of z         seeds: normal, uniform or truncated                 soft_labels: true or false
        classes: null, or the names of the classes (their numbers, if they have no names)
        directions: [{"name": …, "vector": [latent numbers]}]
        title, author, licence, data_statement: texts of the author, if there are any

    A caller adds "mark", a `Marker.template`, if what the page saves shall have marks.

    Raises GantoolError for an engine that does not say how many classes it has, and UsageError for directions of
    another size of z.
    """
    if spec.classes is None:
        raise GantoolError(f"{file} does not say how many classes it has, so a page cannot offer them")
    if directions is not None:
        directions.shift((), spec.latent)  # checks the size
    names = spec.class_names or tuple(map(str, range(spec.classes)))
    return {
        "name": name,
        "file": file,
        "hash": sha256,
        "latent": spec.latent,
        "seeds": spec.distribution,
        "size": [spec.height, spec.width],
        "channels": spec.channels,
        "bits": spec.bits,
        "classes": list(names) if spec.classes else None,
        "soft_labels": spec.soft_labels,
        "directions": _named(directions) if directions else [],
        **spec.authorship.to_json(),
    }


def server_page(title: str) -> str:
    """Return the HTML of the page whose engine is the server that sends it."""
    return _page(title, "", "", SERVER_POLICY)


def browser_page(known: dict[str, Any], graph: bytes, runtime: WebRuntime) -> str:
    """Return the HTML of the page with everything inside: what `info` returned, the graph, and the runtime."""
    licences = (
        f"<details><summary>Licences</summary><p>This file holds ONNX Runtime {runtime.version} "
        "(onnxruntime-web), by its licence:</p>"
        f"<pre>{html.escape(_text('onnxruntime-licence.txt'))}</pre>"
        "<p>The libraries in it and their licences are listed in ThirdPartyNotices.txt of ONNX Runtime, "
        "github.com/microsoft/onnxruntime.</p></details>"
    )
    inside = "\n".join(
        [
            _inside("info", json.dumps(known).replace("<", "\\u003c"), "application/json"),
            _inside("worker", joined("worker.js"), "text/plain"),
            _inside("runtime-script", _packed(runtime.script), "text/plain"),
            _inside("runtime-wasm", _packed(runtime.wasm), "text/plain"),
            _inside("graph", _packed(graph), "text/plain"),
        ]
    )
    return _page(str(known.get("title", known["name"])), inside, licences, POLICY)


def _page(title: str, inside: str, licences: str, policy: str) -> str:
    body = _text("body.html").replace("<!-- licences -->", licences)
    script = f'<script type="module">\n{joined("page.js")}</script>\n'
    return document(title, body, styles=_text("page.css"), scripts=f"{inside}\n{script}", policy=policy)


def _named(directions: Directions) -> list[dict[str, Any]]:
    pairs = zip(directions.names, directions.vectors.tolist(), strict=True)
    return [{"name": name, "vector": vector} for name, vector in pairs]


def _inside(name: str, text: str, kind: str) -> str:
    return f'<script type="{kind}" id="{name}">{text}</script>'


def _packed(data: bytes) -> str:
    """Return base64 of gzip; the same data give the same text."""
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")

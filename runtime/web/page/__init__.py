"""The page of a generator: seeds to scroll through, sliders, walks. `gantool export --web` writes it as one file with
the engine inside; `gantool serve` answers with it, and its engine is the server.

The page knows an engine by two things (browser.js and server.js are the two that there are):

    engine.info                     the object that `info` returns
    engine.images(z, labels, n)     a promise of the n images' levels, row by row: Uint8Array of n·H·W·C (Uint16Array
                                    for 16 bits); z is a Float32Array of n·latent, labels an Int32Array of n or null

The page of a server asks it for three things, all beside its own address, so that it may lie under any path:

    GET  page/info.json[?model=NAME]     `info`, with "models", the names of all models, if there are several
    POST v2/models/NAME/infer            KServe v2 with binary tensors: z FP32 [n, latent] and, of a conditional
                                         generator, label INT64 [n] (soft labels: FP32 [n, classes]) in;
                                         images UINT8 (or UINT16, FP32 [n, C, H, W]) out
    401 at either                        it asks for the token, and sends it as "Authorization: Bearer …"
"""

from __future__ import annotations

from typing import Any

from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError
from gantool.runtime.spec import Spec
from gantool.runtime.web.document import document


def info(name: str, sha256: str, spec: Spec, directions: Directions | None = None) -> dict[str, Any]:
    """Return what the page knows of a generator, as JSON: the engine's name, the hash of its file, its contract.

        name, hash: text          size: [height, width]      channels: 1, 3 or 4      bits: 8 or 16
        latent: size of z         seeds: normal, uniform or truncated                 soft_labels: true or false
        classes: null, or the names of the classes (their numbers, if they have no names)
        directions: [{"name": …, "vector": [latent numbers]}]
        output: uint8, uint16 or float32, the type of the graph's images
        batch: [least, most] images of a run; null for any

    Raises GantoolError for an engine that does not say how many classes it has, and UsageError for directions of
    another size of z.
    """
    if spec.classes is None:
        raise GantoolError(f"{name} does not say how many classes it has, so a page cannot offer them")
    if directions is not None:
        directions.shift((), spec.latent)  # checks the size
    names = spec.class_names or tuple(map(str, range(spec.classes)))
    return {
        "name": name,
        "hash": sha256,
        "latent": spec.latent,
        "seeds": spec.distribution,
        "size": [spec.height, spec.width],
        "channels": spec.channels,
        "bits": spec.bits,
        "classes": list(names) if spec.classes else None,
        "soft_labels": spec.soft_labels,
        "directions": [
            {"name": name, "vector": vector.tolist()}
            for name, vector in zip(directions.names, directions.vectors, strict=True)
        ]
        if directions
        else [],
        "output": spec.dtype,
        "batch": [spec.min_batch, spec.max_batch],
    }


def server_page(title: str) -> str:
    """Return the HTML of the page whose engine is the server that sends it."""
    return document(title, "")

"""A file of options, JSON or YAML: `--config`, and the training_options.json of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fuzz.harness import EARLIER, put
from fuzz.mutate import json_values
from gantool.runtime.config import read_config
from gantool.runtime.errors import GantoolError
from gantool.runtime.flags import build, options
from gantool.runtime.request import Request
from gantool.train.distill.options import DistillOptions
from gantool.train.options import TrainingOptions, read_options

_NEEDED = {"data": "images"}  # options without a default


def MUTATE(data: bytes, most: int, seed: int) -> bytes:  # noqa: N802
    import atheris

    return json_values(data, most, seed) if data.startswith(b"{") else bytes(atheris.Mutate(data, most))


def seeds() -> Iterator[bytes]:
    yield (EARLIER / "run/training_options.json").read_bytes()
    yield b'{"kimg": 300, "size": "96x64", "mirror": true, "elastic": [0.5], "macs": "20M", "seeds": "0-9"}'
    yield b"kimg: 300\nsize: [64, 64]\nlr: 2e-4\nnetwork: {width: 8, tile: yes}\nloss: hinge\n"
    yield b"a: &a [x, x]\nb: &b [*a, *a]\nkimg: [*b, *b]\n"
    yield b"teacher: run\nmacs: .5\nmark: none\nshard: 1/2\nseed: 0x10\n"


def run(data: bytes) -> None:
    path = put("options.json" if data.startswith(b"{") else "options.yaml", data)
    for cls in (TrainingOptions, DistillOptions, Request):
        with suppress(GantoolError):
            given = read_config(path, options(cls))
            # ValueError: a network that cannot be, which `gantool train` tells too
            with suppress(*((ValueError,) if cls is TrainingOptions else ())):
                build(cls, {**_NEEDED, **given})
    with suppress(GantoolError):
        read_options(path)

"""The texts of flags: sizes, grids, shards, classes, colours, directions, budgets, parameters of a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from gantool.export.engine.options import parse_compute_capabilities
from gantool.export.engine.options import parse_size as parse_workspace
from gantool.models.config import parse_size
from gantool.runtime.classes import parse_classes
from gantool.runtime.colours import colour
from gantool.runtime.directions import parse_step
from gantool.runtime.errors import UsageError
from gantool.runtime.flags import whole_numbers
from gantool.runtime.provenance.flags import parse_aigc
from gantool.runtime.request import parse_grid
from gantool.runtime.serve.queries import FilmQuery, GridQuery, StreamQuery, parse
from gantool.runtime.shards import parse_shard
from gantool.runtime.spec import Spec
from gantool.runtime.tune.units import ENERGIES, SIZES, TIMES, quantity
from gantool.train.data.levels import not_levels
from gantool.train.distill.options import parse_elastic, parse_macs, parse_params

_SPEC = Spec(latent=4, height=4, width=4, channels=3, classes=4, class_names=("Top", "0-1", "a,b", "TOP"))


def _query(text: str) -> None:
    for cls in (FilmQuery, GridQuery, StreamQuery):
        parse(cls, parse_qsl(text, keep_blank_values=True))


_PARSERS: dict[Callable[[str], Any], tuple[str, ...]] = {
    parse_compute_capabilities: ("86,8.9", "sm120"),
    parse_workspace: ("2GiB", "0.5 M"),
    parse_size: ("64", "96x64"),
    lambda text: parse_classes(text, _SPEC): ("Top,2-3", "all", "a,b"),
    colour: ("white", "#80ff00"),
    parse_step: ("smile=-1.5", "0=1e3"),
    whole_numbers("batch", 99_999): ("1,8,32",),
    parse_aigc: ("me,7",),
    lambda text: parse_grid(text, "8x8"): ("8x4",),
    parse_shard: ("3/16",),
    quantity("latency", TIMES): ("5ms", "0.1 s"),
    quantity("size", SIZES): ("2MB",),
    quantity("energy", ENERGIES): ("5 µJ",),
    not_levels: ("auto", "0-4095"),
    parse_macs: ("0.25", "20M"),
    parse_params: ("250k", "1MB"),
    parse_elastic: ("1,0.5,0.25",),
    _query: ("seeds=0-9&trunc=0.5&fps=30", "size=64&class=cat&loop=1&frames=5"),
}


def seeds() -> Iterator[bytes]:
    for number, texts in enumerate(_PARSERS.values()):
        yield from (bytes((number,)) + text.encode() for text in texts)


def run(data: bytes) -> None:
    parser = [*_PARSERS][data[0] % len(_PARSERS)] if data else colour
    with suppress(UsageError):
        parser(data[1:].decode("utf-8", "surrogateescape"))

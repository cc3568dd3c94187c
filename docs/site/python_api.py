"""The page of the Python API: directives for mkdocstrings, and tables of the fields of options."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType
from typing import Any

import gantool
from command_line import text
from gantool.runtime.flags import MISSING, Option, options

_HEAD = """# Python API

[Python](docs/python.md) shows how to use it. This page is made of the docstrings.
"""
_OPTIONS_HEAD = """## Options

Frozen dataclasses, checked when they are made. The help is that of the [command line](command-line.md).
"""
_ROOMS = {"train": "gantool.train.run.train", "export": "gantool.export.pipeline.export"}
# not in gantool itself
_MORE = (
    "gantool.train.options.from_preset",
    "gantool.train.data.prepare.prepare",
    "gantool.runtime.generate.generate",
    "gantool.runtime.morph.morph",
    "gantool.export.directions.directions",
    "gantool.runtime.bench.launch.bench",
    "gantool.runtime.latents.slerp",
    "gantool.runtime.progress.reported_to",
)
_RESULTS = (
    "gantool.runtime.spec.Batch",
    "gantool.train.run.Run",
    "gantool.train.evaluate.Scores",
    "gantool.export.pipeline.Exported",
    "gantool.export.verify.Comparison",
    "gantool.export.inspect.Inspection",
)


def reference() -> str:
    """Return the page. Each public name of gantool is in it."""
    names = [name for name in gantool.__all__ if not name.startswith("_")]
    classes = [name for name in names if isinstance(getattr(gantool, name), type)]
    errors = [name for name in classes if issubclass(getattr(gantool, name), Exception)]
    of_options = [name for name in classes if name == "Foreign" or name.endswith(("Options", "Precision"))]
    others = [name for name in classes if name not in (*errors, *of_options)]
    functions = [name for name in names if name not in classes]
    lines = [_HEAD, "## Images\n", *map(_public, others)]
    lines += ["## Commands as functions\n", *map(_public, functions), *map(_directive, _MORE)]
    lines += ["## What they return\n", *map(_directive, _RESULTS)]
    lines += [_OPTIONS_HEAD, *map(_table, of_options), "## Errors\n", *map(_public, errors)]
    return "\n".join(lines)


def _public(name: str) -> str:
    found = getattr(gantool, name)
    path = found.__name__ if isinstance(found, ModuleType) else f"{found.__module__}.{found.__qualname__}"
    return _directive(_ROOMS.get(name, path), f"gantool.{name}")


def _directive(path: str, heading: str = "") -> str:
    return f"::: {path}\n    options:\n      heading: {heading or path}\n"


def _table(name: str) -> str:
    cls = getattr(gantool, name)
    lines = [f"### gantool.{name}", "", cls.__doc__, "", "| field | type | default | what it does |"]
    lines += ["| --- | --- | --- | --- |", *(_row(cls, field.name) for field in fields(cls)), ""]
    return "\n".join(lines)


def _row(cls: type, name: str) -> str:
    option = options(cls).get(name)
    if option is None:  # a dataclass in it
        return f"| `{name}` | the options of the same name | | |"
    default = "" if option.default is MISSING else f"`{option.default!r}`"
    return f"| `{name}` | {_type(option)} | {default} | {text(option.flag.help) if option.flag else ''} |"


def _type(option: Option) -> str:
    kind: Any = option.kind
    shown = f"`{kind.__name__}`"
    if option.choices:
        shown = ", ".join(f"`{choice!r}`" for choice in option.choices)
    return f"tuple of {shown}" if option.many else shown

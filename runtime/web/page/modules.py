"""Join JavaScript modules to one script.

A page from disk cannot load modules beside it: a browser takes every file for another origin. And not every browser
imports from a blob there. So each module becomes a function that returns what it exports, after those it imports.
"""

from __future__ import annotations

import re
from importlib.resources import files

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def joined(entry: str) -> str:
    """Return a script of the module `entry` of this folder and of all that it imports."""
    order: list[str] = []
    _visit(entry, order)
    return "const modules = {};\n" + "".join(map(_wrapped, order))


def _visit(name: str, order: list[str]) -> None:
    for _, other in _IMPORT.findall(_text(name)):
        if other not in order:
            _visit(other, order)
    if name not in order:
        order.append(name)


def _wrapped(name: str) -> str:
    text = _text(name)
    names = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(r'const \1 = modules["\2"];', text))
    return f'modules["{name}"] = (() => {{\n{body}return {{ {names} }};\n}})();\n'


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")

"""gantool's docstrings for mkdocstrings: lists of parameters, examples as code, fields of dataclasses in tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe

_PARAMETER = re.compile(r"^(\w+):\s+(.*)", re.MULTILINE)
_COMMENT = re.compile(r"  # (.*)$")


class Docstrings(griffe.Extension):
    """Rewrite docstrings as Markdown."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Move the fields of a dataclass, whose comments say what they are, into a table of its docstring."""
        fields = [each for each in cls.attributes.values() if "property" not in each.labels]
        if "dataclass" in str([each.value for each in cls.decorators]) and cls.docstring and fields:
            rows = [f"| `{each.name}` | `{each.annotation}` | {_comment(each)} |" for each in fields]
            table = ["| field | type | what it is |", "| --- | --- | --- |", *rows]
            cls.docstring.value += "\n\n" + "\n".join(table)
            for each in fields:
                del cls.members[each.name]

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite a docstring, paragraph by paragraph."""
        if obj.docstring:
            obj.docstring.value = "\n\n".join(map(_markdown, obj.docstring.value.split("\n\n")))


def _comment(field: griffe.Attribute) -> str:
    """Return the comment on the line of a field, or else the line above."""
    assert field.lineno
    assert isinstance(field.filepath, Path)
    lines = field.filepath.read_text(encoding="utf-8").splitlines()
    found = _COMMENT.search(lines[field.lineno - 1]) or re.match(r"^\s*# (.*)$", lines[field.lineno - 2])
    return found[1].replace("|", "\\|") if found else ""


def _markdown(paragraph: str) -> str:
    if paragraph.startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    paragraph = re.sub(r"`[^`]*`|<", lambda found: "&lt;" if found[0] == "<" else found[0], paragraph)
    lines = paragraph.splitlines()
    if _PARAMETER.match(paragraph) and all(_PARAMETER.match(line) or line.startswith(" ") for line in lines):
        return _PARAMETER.sub(r"- `\1`: \2", paragraph)
    return paragraph

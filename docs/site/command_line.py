"""The reference of the command line in Markdown, made of the options."""

from __future__ import annotations

import re
from html import escape

from gantool.__main__ import COMMANDS, load
from gantool.runtime.commands import sections

_HEAD = """# Command line

Each command with its flags, as `gantool COMMAND --help` shows them: both are made of the same options. N is a whole
number, X is any number. The defaults are those of a bare run; `gantool train --preset small --help` shows those of
another preset.
"""
_FLAG = re.compile(r"--?[a-zA-Z][\w-]*")


def reference() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *map(_command, COMMANDS)])


def _command(name: str) -> str:
    command = load(name)
    lines = [f"## gantool {name}", "", text(COMMANDS[name][1]), ""]
    for title, rows in sections(command, command.bare({}) if command.bare else {}).items():
        lines += [f"**{title}**", "", "| flag | what it does | default |", "| --- | --- | --- |"]
        lines += [_row(left, right) for left, right in rows] + [""]
    return "\n".join(lines)


def _row(left: str, right: str) -> str:
    help_text, _, default = right.removesuffix("]").partition("  [default: ")
    return f"| `{left}` | {text(help_text if default else right)} | {text(default)} |"


def text(plain: str) -> str:
    """Return help as Markdown: flags in code, and nothing that Markdown would read as its own."""
    escaped = re.sub(r"([\\`*_|\[\]#])", r"\\\1", escape(plain, quote=False))
    return _FLAG.sub(lambda flag: f"`{flag[0]}`" if flag[0].startswith("--") else flag[0], escaped)

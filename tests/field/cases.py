"""What people bring, and the right answer to it: a command, its exit code, and what it says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from helpers.commands import in_this_process

BROUGHT = Path(__file__).parent / "brought"  # generators and pictures of others, importable while a case runs
Folder = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One command in a folder of its own, after `prepare` has filled that folder; `then` looks at what it made."""

    id: str
    command: str  # the arguments of gantool
    code: int = 0
    says: tuple[str, ...] = ()  # each of these, on stdout or stderr
    never: tuple[str, ...] = ()
    prepare: Folder | None = None
    then: Folder | None = None
    slow: bool = False


class Answer(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


def gantool(command: str | list[str], folder: Path) -> Answer:
    """Run `gantool COMMAND` in `folder`, in this process; the modules of `BROUGHT` can be imported."""
    words = command.split() if isinstance(command, str) else command
    with patch.object(sys, "path", [str(BROUGHT), *sys.path]):
        return Answer(*in_this_process(words, folder, {}))

"""A room that is also a function: `gantool.export(...)`.

Python binds `gantool.export` to the package as soon as anything in it is imported, in place of a function of that
name. So the package itself can be called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(room: str, module: str) -> None:
    """Let the package `room` call the function of its own name in `module`, which is imported then."""
    name = room.rpartition(".")[2]

    class Room(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            return getattr(import_module(module), name)(*args, **options)

    sys.modules[room].__class__ = Room

"""Make a room callable, as in `gantool.export(...)`.

As soon as a module of `gantool.export` is imported, Python binds that name to the package, so it cannot be a
function.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(room: str, module: str) -> None:
    """Make the package `room` callable: it imports `module` and calls the function of its name in it."""
    name = room.rpartition(".")[2]

    class Room(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            return getattr(import_module(module), name)(*args, **options)

        @property
        def __signature__(self) -> Any:
            from inspect import signature

            return signature(getattr(import_module(module), name))

    sys.modules[room].__class__ = Room

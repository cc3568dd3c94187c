"""Load a user's generator: import `package.module:function` and call it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gantool.export.graph.cause import cause_of
from gantool.export.source import this_folder_first
from gantool.runtime.errors import GantoolError


def load_module(origin: str) -> nn.Module:
    """Import `package.module:function` and call it. Raises GantoolError with the line of the user's that fails."""
    name, _, function = origin.partition(":")
    try:
        with this_folder_first():
            home = importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise GantoolError(f"`origin` {origin}: Python finds no module {missing}") from error
        raise GantoolError(
            f"`origin` {origin}: {cause_of(error)}; install {missing.partition('.')[0]} here, or go to its folder"
        ) from error
    except SystemExit as error:
        raise GantoolError(
            f"`origin` {origin}: {name} exits Python when it is imported (sys.exit, or argparse): move that code "
            'under if __name__ == "__main__"'
        ) from error
    except Exception as error:
        raise GantoolError(f"`origin` {origin}: importing {name} fails: {cause_of(error)}") from error
    make = getattr(home, function, None)
    if not callable(make):
        own = [
            key
            for key, value in vars(home).items()
            if getattr(value, "__module__", "") == name and callable(value)
        ]
        raise GantoolError(
            f"`origin` {origin}: {name} has no function {function}; it has {', '.join(own[:12]) or 'none'}"
        )
    if needed := _required(make):
        raise GantoolError(
            f"`origin` {origin}: {function} requires {', '.join(needed)}, and gantool calls it without arguments: "
            f"add a function that fills them in, as def make(): return {function}({needed[0]}=...)"
        )
    try:
        module = make()
    except (Exception, SystemExit) as error:
        raise GantoolError(f"`origin` {origin} fails: {cause_of(error)}") from error
    if isinstance(module, torch.jit.ScriptModule):
        raise GantoolError(
            f"`origin` {origin} returned TorchScript, which torch cannot export: return the nn.Module that it was "
            "made of, and give its weights as `weights` g.pth: torch.save(script.state_dict(), 'g.pth')"
        )
    if not isinstance(module, nn.Module):
        raise GantoolError(
            f"`origin` {origin} returned {_named(module)}, expected an nn.Module{_advice(module)}"
        )
    return module


def _required(make: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters without a default."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in variable]


def _named(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"{type(value).__name__}"


def _advice(value: Any) -> str:
    if isinstance(value, type):
        return f": return {value.__name__}()"
    if value is None:
        return ": is its return missing?"
    if isinstance(value, tuple | list | dict):
        return ": return only the generator"
    return ""

"""Load a checkpoint from elsewhere without running code that it may contain."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from gantool.export.graph.state_dicts import State
from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import listed

EXPECTED = "weights, .pth or .safetensors"

# Plain data, without code to run: training options, and NumPy scalars of any float or int type.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    Namespace,
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *{type(np.dtype(letter)) for letter in "?bBhHiIlLqQefd"},
]


def load_checkpoint(path: Path) -> Any:
    """Return the content of a .pth or .safetensors file. Raises GantoolError if it is damaged or holds code."""
    kind = kind_of(path)
    if kind.name not in ("torch", "safetensors", "checkpoint"):
        raise GantoolError(wrong(path, EXPECTED, kind))
    try:
        if kind.name != "torch":
            return _with_shared(path, load_file(path))
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises many kinds, and so does a refused pickle
        if names := _unsafe_globals(path, error):
            raise GantoolError(_unsafe_message(path, names)) from error
        reason = " ".join(str(error).split("\n")[0].split())[:150] or type(error).__name__
        raise GantoolError(f"{path} is cut off or damaged ({reason}): copy or download it again") from error


def _with_shared(path: Path, state: State) -> State:
    """Add the second names of shared tensors, which safetensors' save_model leaves out."""
    with safe_open(path, framework="pt") as file:
        shared = file.metadata() or {}
    return {**{name: state[kept] for name, kept in shared.items() if kept in state}, **state}


def _unsafe_globals(path: Path, error: Exception) -> list[str]:
    """Return the names of the classes and functions in a pickle that are not weights or plain data."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # torch cannot list them for the old format: its error names the first
        return re.findall(r"GLOBAL ([\w.]+)", str(error))[:1]


def _unsafe_message(path: Path, names: list[str]) -> str:
    whole = any(name.startswith("torch.nn.modules.") for name in names)
    own = [name for name in names if not name.startswith("torch.nn.modules.")] or names
    found = "is a whole module" if whole else "holds more than weights"
    state = "whole.state_dict()" if whole else "whole['g_ema']"
    comment = "" if whole else "  # or another of its keys"
    return (
        f"{path} {found} ({listed(own, 4)}), and loading that could run code. If you trust it, take the weights "
        "out once, where the code that wrote it can be imported:\n"
        f"  whole = torch.load({str(path)!r}, map_location='cpu', weights_only=False)\n"
        f"  torch.save({state}, 'g.pth'){comment}"
    )

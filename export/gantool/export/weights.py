"""Checkpoints of others: the state_dict of the generator, found among what else a training keeps.

No pickle is loaded but with `weights_only=True`; of all that is not a weight, two kinds of plain data may pass.
"""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gantool.runtime.errors import GantoolError
from gantool.runtime.kinds import kind_of, wrong

State = dict[str, Tensor]
EXPECTED = "weights, .pth or .safetensors"

_WRAPPED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # anywhere in a name
_TRIVIAL = ("module", "_orig_mod", "module._orig_mod", "_orig_mod.module")  # of DataParallel, torch.compile
_AVERAGED = {"ema", "avg", "averaged", "average", "swa", "shadow", "polyak"}
_DEPTH = 6  # of dictionaries in dictionaries
_MOST_LISTED = 12
# A tensor of stride 0 may claim any size; weights are stored as they are.
_SLACK, _TIMES = 64 << 20, 16
# Data, with no code to run: the options of a training, and a number of NumPy's in any of its float or int types.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    Namespace,
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *{type(np.dtype(letter)) for letter in "?bBhHiIlLqQefd"},
]


@dataclass(frozen=True)
class Wanted:
    """What a generator's state_dict looks like."""

    anchor: str  # a name that it has; what stands before it in a file is a prefix
    mismatch: Callable[[State], str | None]  # why a state_dict does not fit, or None


def read_weights(path: Path, key: str | None, wanted: Wanted, note: Callable[[str], None]) -> State:
    """Return the state_dict of `path` that fits, under `key` if one is given; averaged weights before raw ones.

    Raises GantoolError, naming the state_dicts there, where none fits or several do.
    """
    held = dict(_state_dicts(_load(path), ""))
    if key is not None:
        held = _under(held, key, path)
    if not held:
        raise GantoolError(
            f"{path} holds no state_dict of tensors: torch.save(generator.state_dict(), {path.name!r})"
        )
    fitting = _fitting(held, wanted) or _fitting(
        {name: _unwrapped(state) for name, state in held.items()}, wanted
    )
    if not fitting:
        raise GantoolError(_none_fits(path, held, wanted))
    averaged = [name for name in fitting if _AVERAGED & set(re.split(r"[._]", name.lower()))]
    chosen = averaged if averaged else list(fitting)
    if len(chosen) > 1:
        raise GantoolError(
            f"{path} holds several state_dicts that fit: {_listed(fitting)}; choose one, as in {path}:{chosen[0]}"
        )
    (name,) = chosen
    if averaged and len(fitting) > 1:
        (other, *_) = (each for each in fitting if each != name)
        note(f"{path}: takes {name}, the averaged weights; the raw ones are {path}:{other}")
    elif name:
        note(f"{path}: takes {name}")
    _check_sizes(path, fitting[name])
    return fitting[name]


def wanted_by(module: nn.Module) -> Wanted:
    """Return what fits `module`: its names and shapes. Raises GantoolError if it has no weights."""
    expected = module.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}  # newer than some files
    anchor = next((name for name in expected if name not in counters), None)
    if anchor is None:
        raise GantoolError("the generator has no weights to load: leave out --weights")

    def mismatch(state: State) -> str | None:
        missing = expected.keys() - counters - state.keys()
        unexpected = state.keys() - expected.keys()
        if missing or unexpected:
            return "; ".join(
                f"{_count(names, 'name')} {what}: {_listed(sorted(names), 3)}"
                for what, names in (("missing", missing), ("unexpected", unexpected))
                if names
            )
        for name, value in state.items():
            target = expected[name]
            if not nn.parameter.is_lazy(target) and target.shape != value.shape:
                return f"{name} is {list(value.shape)}, expected {list(target.shape)}"
        return None

    return Wanted(anchor, mismatch)


def _load(path: Path) -> Any:
    kind = kind_of(path)
    if kind.name not in ("torch", "safetensors", "checkpoint"):
        raise GantoolError(wrong(path, EXPECTED, kind))
    try:
        if kind.name != "torch":
            return load_file(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files bring many kinds, and a pickle that is refused one of them
        if names := _in_the_way(path, error):
            raise GantoolError(_more_than_weights(path, names)) from error
        reason = " ".join(str(error).split("\n")[0].split())[:150] or type(error).__name__
        raise GantoolError(f"{path} is cut off or damaged ({reason}): copy or download it again") from error


def _in_the_way(path: Path, error: Exception) -> list[str]:
    """Return the names of what the pickle holds beside weights and plain data."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not for the old format: the error names the first
        return re.findall(r"GLOBAL ([\w.]+)", str(error))[:1]


def _more_than_weights(path: Path, names: list[str]) -> str:
    whole = any(name.startswith("torch.nn.modules.") for name in names)
    own = [name for name in names if not name.startswith("torch.nn.modules.")] or names
    found = "is a whole module" if whole else "holds more than weights"
    state = "whole.state_dict()" if whole else "whole['g_ema']"
    comment = "" if whole else "  # or another of its keys"
    return (
        f"{path} {found} ({_listed(own, 4)}), and loading that could run code. Where you trust it, take the "
        "weights "
        f"out once, with the code that wrote it at hand:\n"
        f"  whole = torch.load({str(path)!r}, map_location='cpu', weights_only=False)\n"
        f"  torch.save({state}, 'g.pth'){comment}"
    )


def _state_dicts(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, State]]:
    """Yield each dictionary that holds tensors, by the keys that lead to it; optimizers are left out."""
    if not isinstance(value, Mapping) or depth > _DEPTH or {"state", "param_groups"} <= value.keys():
        return
    tensors = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, Tensor)}
    if tensors:
        yield name, tensors
    for key, item in value.items():
        yield from _state_dicts(item, f"{name}.{key}" if name else str(key), depth + 1)


def _fitting(held: dict[str, State], wanted: Wanted) -> dict[str, State]:
    return {
        name: state
        for outer, whole in held.items()
        for name, state in _with_prefixes(outer, whole, wanted.anchor)
        if wanted.mismatch(state) is None
    }


def _with_prefixes(outer: str, state: State, anchor: str) -> Iterator[tuple[str, State]]:
    """Yield the parts of a state_dict whose names, after a prefix, may be the generator's."""
    for name in state:
        if name == anchor or name.endswith(f".{anchor}"):
            prefix = name[: -len(anchor)]
            part = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            shown = "" if prefix.strip(".") in _TRIVIAL else prefix.rstrip(".")
            yield ".".join(filter(None, (outer, shown))), part


def _unwrapped(state: State) -> State:
    """Return a state_dict without what torch.compile and the like put into the names of inner modules."""
    clean = {}
    for name, value in state.items():
        for wrapper in _WRAPPED:
            name = name.replace(wrapper, "")
        clean[name] = value
    return clean


def _under(held: dict[str, State], key: str, path: Path) -> dict[str, State]:
    """Return the state_dicts at or below `key`, which may end in a prefix of names."""
    found = {name: state for name, state in held.items() if name == key or name.startswith(f"{key}.")}
    for name, state in held.items():
        if not found and (not name or key.startswith(f"{name}.")):
            prefix = f"{key[len(name) :].removeprefix('.')}."
            part = {inner[len(prefix) :]: value for inner, value in state.items() if inner.startswith(prefix)}
            found = {key: part} if part else {}
    if not found:
        raise GantoolError(f"{path} has no state_dict under {key!r}; it holds {_shown(held)}")
    return found


def _none_fits(path: Path, held: dict[str, State], wanted: Wanted) -> str:
    parts = [
        (name, state, wanted.mismatch(state) or "")
        for outer, whole in held.items()
        for name, state in (*_with_prefixes(outer, whole, wanted.anchor), (outer, whole))
    ]
    # the one with its anchor, or the largest
    name, _, reason = max(parts, key=lambda part: (wanted.anchor in part[1], len(part[1])))
    where = f"{path}:{name}" if name else str(path)
    if len(held) == 1:
        return f"{where} does not fit the generator: {reason}"
    return f"{path} holds {_shown(held)}, and none fits the generator; {where}: {reason}"


def _shown(held: dict[str, State]) -> str:
    return _listed([f"{name or 'state_dict'} ({_count(state, 'tensor')})" for name, state in held.items()])


def _count(items: Any, word: str) -> str:
    return f"{len(items)} {word}{'s' if len(items) != 1 else ''}"


def _listed(names: Any, most: int = _MOST_LISTED) -> str:
    names = list(names)
    return ", ".join(map(str, names[:most])) + (" ..." if len(names) > most else "")


def _check_sizes(path: Path, state: State) -> None:
    most = _SLACK + _TIMES * path.stat().st_size
    for name, value in state.items():
        if value.is_meta:
            raise GantoolError(
                f"{path}: {name} has a shape but no values (meta): save the weights themselves"
            )
        if value.numel() * value.element_size() > most:
            raise GantoolError(
                f"{path}: {name} says it has {value.numel():,} values, more than a file of "
                f"{path.stat().st_size:,} bytes holds: save the weights again"
            )

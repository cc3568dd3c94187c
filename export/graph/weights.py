"""Checkpoints of others: the state_dict of the generator, found among what else a training keeps.

No pickle is loaded but with `weights_only=True`; of all that is not a weight, two kinds of plain data may pass.
"""

from __future__ import annotations

import logging
import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from gantool.export.graph.state_dicts import State, forms, is_averaged, nameless, state_dicts
from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import listed, short, sides

_log = logging.getLogger(__name__)

EXPECTED = "weights, .pth or .safetensors"

_TRIVIAL = {"module", "_orig_mod", "_fsdp_wrapped_module", "_forward_module"}  # prefixes that say nothing
_SHARD = re.compile(r".*-(\d{5})-of-(\d{5})\.\w+")
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
    names: tuple[str, ...] = ()  # all that it has


def read_weights(path: Path, key: str | None, wanted: Wanted) -> State:
    """Return the state_dict of `path` that fits, under `key` if one is given; averaged weights before raw ones.

    Raises GantoolError, naming the state_dicts there, where none fits or several do.
    """
    content = _load(path)
    held = dict(state_dicts(content))
    if key is not None:
        held = _under(held, key, path)
    if not held:
        raise GantoolError(
            f"{path} holds no state_dict of tensors: torch.save(generator.state_dict(), {path.name!r})"
        )
    fitting = next(filter(None, (_fitting(form, wanted) for form in forms(held, wanted.names))), {})
    if not fitting:
        raise GantoolError(_none_fits(path, held, wanted))
    averaged = [name for name in fitting if is_averaged(name)]
    averaged = [name for name in averaged if not _is_raw(name, averaged)]
    chosen = averaged if averaged else list(fitting)
    if len(chosen) > 1:
        raise GantoolError(
            f"{path} holds several state_dicts that fit: {listed(fitting)}; choose one, as in {path}:{chosen[0]}"
        )
    (name,) = chosen
    if averaged and len(fitting) > 1:
        (other, *_) = (each for each in fitting if each != name)
        _log.info(
            f"{path}: takes {short(name)}, the averaged weights; for the raw ones give {path}:{short(other)}"
        )
    elif name:
        _log.info(f"{path}: takes {short(name)}")
    if not averaged and key is None and (lists := [each for each in nameless(content) if is_averaged(each)]):
        _log.warning(
            f"warning: {path} has averaged weights in {short(lists[0])} as a list without names, which is not "
            "read: copy them into the generator, as with ema.copy_to(generator.parameters()), and save its "
            "state_dict"
        )
    _check_sizes(path, fitting[name])
    return fitting[name]


def wanted_by(module: nn.Module) -> Wanted:
    """Return what fits `module`: its names and shapes. Raises GantoolError if it has no weights."""
    expected = module.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}  # newer than some files
    anchor = next((name for name in expected if name not in counters), None)
    if anchor is None:
        raise GantoolError("the generator has no weights to load: leave out `weights`")

    def mismatch(state: State) -> str | None:
        missing = expected.keys() - counters - state.keys()
        unexpected = state.keys() - expected.keys()
        if missing or unexpected:
            return "; ".join(
                f"{_count(names, 'name')} {what}: {listed(sorted(names), 3)}"
                for what, names in (("missing", missing), ("unexpected", unexpected))
                if names
            ) + _of_norms(missing, unexpected)
        for name, value in state.items():
            target = expected[name]
            if not nn.parameter.is_lazy(target) and target.shape != value.shape:
                return f"{short(name)} is [{sides(value.shape)}], expected [{sides(target.shape)}]"
        return None

    blank = _blank(module)

    def fits(state: State) -> str | None:
        reason = mismatch(state)
        return None if reason and blank is not None and _takes(blank, state) else reason

    return Wanted(anchor, fits, tuple(expected))


def _blank(module: nn.Module) -> nn.Module | None:
    """Return a copy of the module without memory, in which loading can be tried."""
    try:
        return deepcopy(module).to("meta")
    except Exception:  # of the user's own
        return None


def _takes(blank: nn.Module, state: State) -> bool:
    """Whether a module loads a state_dict: its own hooks, and torch's, may rename what they find."""
    if not any(name in state for name in blank.state_dict()):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing is copied
            blank.load_state_dict(dict(state))
    except Exception:
        return False
    return True


def _of_norms(missing: set[str], unexpected: set[str]) -> str:
    """Say what to do where one side has weight or spectral norm and the other has not."""
    leaves = {name.rpartition(".")[2] for name in unexpected}
    wanted = {name.rpartition(".")[2] for name in missing}
    for norm, mark, new in (
        ("weight_norm", "weight_g", "original0"),
        ("spectral_norm", "weight_orig", "original"),
    ):
        if mark in leaves or new in leaves:
            return f"; it was saved with {norm}: let the function return the generator with it, as in the training"
        if mark in wanted or new in wanted:
            return f"; it was saved without {norm}: let the function return the generator without it"
    return ""


def _load(path: Path) -> Any:
    kind = kind_of(path)
    if kind.name not in ("torch", "safetensors", "checkpoint"):
        raise GantoolError(wrong(path, EXPECTED, kind))
    try:
        if kind.name != "torch":
            return _with_shared(path, load_file(path))
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files bring many kinds, and a pickle that is refused one of them
        if names := _in_the_way(path, error):
            raise GantoolError(_more_than_weights(path, names)) from error
        reason = " ".join(str(error).split("\n")[0].split())[:150] or type(error).__name__
        raise GantoolError(f"{path} is cut off or damaged ({reason}): copy or download it again") from error


def _with_shared(path: Path, state: State) -> State:
    """Add the tensors that are another by a second name, which save_model of safetensors leaves out."""
    with safe_open(path, framework="pt") as file:
        shared = file.metadata() or {}
    return {**{name: state[kept] for name, kept in shared.items() if kept in state}, **state}


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
        f"{path} {found} ({listed(own, 4)}), and loading that could run code. If you trust it, take the weights "
        "out once, where the code that wrote it can be imported:\n"
        f"  whole = torch.load({str(path)!r}, map_location='cpu', weights_only=False)\n"
        f"  torch.save({state}, 'g.pth'){comment}"
    )


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
            shown = "" if set(prefix.strip(".").split(".")) <= _TRIVIAL else prefix.rstrip(".")
            yield ".".join(filter(None, (outer, shown))), part


def _under(held: dict[str, State], key: str, path: Path) -> dict[str, State]:
    """Return the state_dicts at or below `key`, which may end in a prefix of names."""
    found = {name: state for name, state in held.items() if name == key or name.startswith(f"{key}.")}
    for name, state in held.items():
        if not found and (not name or key.startswith(f"{name}.")):
            prefix = f"{key[len(name) :].removeprefix('.')}."
            part = {inner[len(prefix) :]: value for inner, value in state.items() if inner.startswith(prefix)}
            found = {key: part} if part else {}
    return found or _at_end(held, key, path)


def _at_end(held: dict[str, State], key: str, path: Path) -> dict[str, State]:
    """Return the state_dicts at or below the one path that ends in `key`, as state_dict.G does for G."""
    names = (f"{outer}.{name}".strip(".") for outer, state in held.items() for name in state)
    found = (f".{name}".partition(f".{key}.") for name in names)
    ways = list(dict.fromkeys(f"{before}.{key}"[1:] for before, middle, _ in found if middle))
    if not ways:
        raise GantoolError(f"{path} has no state_dict under {short(key)!r}; it holds {_shown(held)}")
    if len(ways) > 1:
        raise GantoolError(
            f"{path} has several state_dicts under {short(key)!r}: {listed(ways)}; choose one, as in "
            f"{path}:{short(ways[0])}"
        )
    return _under(held, ways[0], path)


def _is_raw(name: str, others: list[str]) -> bool:
    """Whether a key leads to raw weights that are kept beside averaged ones: ema.online_model, ema.ema_model."""
    for other in others:
        pairs = zip(name.split("."), other.split("."), strict=False)
        mine, its = next(((one, two) for one, two in pairs if one != two), ("", ""))
        if is_averaged(its) and not is_averaged(mine):
            return True
    return False


def _none_fits(path: Path, held: dict[str, State], wanted: Wanted) -> str:
    parts = [
        (name, state, wanted.mismatch(state) or "")
        for outer, whole in held.items()
        for name, state in (*_with_prefixes(outer, whole, wanted.anchor), (outer, whole))
    ]
    # the one with its anchor, or the largest
    name, _, reason = max(parts, key=lambda part: (wanted.anchor in part[1], len(part[1])))
    where = f"{path}:{short(name)}" if name else str(path)
    if shard := _SHARD.fullmatch(path.name):
        reason += (
            f"; it is part {int(shard[1])} of {int(shard[2])} of a checkpoint: merge the parts into one file"
        )
    if len(held) == 1:
        return f"{where} does not fit the generator: {reason}"
    return f"{path} holds {_shown(held)}, and none fits the generator; {where}: {reason}"


def _shown(held: dict[str, State]) -> str:
    return listed(
        f"{short(name) or 'state_dict'} ({_count(state, 'tensor')})" for name, state in held.items()
    )


def _count(items: Any, word: str) -> str:
    return f"{len(items)} {word}{'s' if len(items) != 1 else ''}"


def _check_sizes(path: Path, state: State) -> None:
    most = _SLACK + _TIMES * path.stat().st_size
    for name, value in state.items():
        if value.is_meta:
            raise GantoolError(
                f"{path}: {short(name)} has a shape but no values (meta): save the weights themselves"
            )
        if value.numel() * value.element_size() > most:
            raise GantoolError(
                f"{path}: {short(name)} says it has {value.numel():,} values, more than a file of "
                f"{path.stat().st_size:,} bytes holds: save the weights again"
            )

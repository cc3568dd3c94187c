"""Find the state_dicts in a saved training, and rename their tensors as the module does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

State = dict[str, Tensor]

# Of torch.compile, FSDP, checkpointing and Lightning Fabric. DataParallel's "module" may also be a user's own name.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
# Tensors of weight and spectral norm: the name in torch.nn.utils, and in torch.nn.utils.parametrizations.
_WEIGHT_NORM = {"g": "original0", "v": "original1"}
_SPECTRAL_NORM = {"orig": "original", "u": "0._u", "v": "0._v"}
_PARAMETRIZED = re.compile(r"(.*\.)?parametrizations\.(\w+)\.(original[01]?|0\._[uv])")
_OPTIMIZER_KEYS = {
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "momentum_buffer",
    "square_avg",
    "grad_avg",
    "step",
}
_AVERAGED_NAME = re.compile(
    r"(?:net)?(?:g|gen|generator|model)?"
    r"(?:ema|avg|average|averaged|mavg|swa|shadow|polyak|running|moving|smooth|smoothed)"
    r"(?:g|gen|generator|model)?"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DEPTH = 6  # of nested dictionaries
_MOST_ITEMS = 64  # read from a list


def state_dicts(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """Yield each dictionary that holds tensors, with its path as "models.0.G"; skip those of optimizers."""
    if depth > _DEPTH:
        return
    items: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        if {"state", "param_groups"} <= value.keys():
            return
        items = list(value.items())
        tensors = {key: item for key, item in items if isinstance(key, str) and isinstance(item, Tensor)}
        if tensors and not tensors.keys() <= _OPTIMIZER_KEYS:
            yield name, tensors
    elif isinstance(value, list | tuple):
        items = list(enumerate(value[:_MOST_ITEMS]))
    for key, item in items:
        if isinstance(item, Mapping | list | tuple):
            yield from state_dicts(item, f"{name}.{key}" if name else str(key), depth + 1)


def unnamed_lists(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the paths of lists of tensors without names, which is how torch_ema saves averaged weights."""
    if isinstance(value, Mapping) and depth <= _DEPTH and not {"state", "param_groups"} <= value.keys():
        for key, item in value.items():
            yield from unnamed_lists(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list | tuple) and value and all(isinstance(item, Tensor) for item in value):
        yield name


def is_averaged(name: str) -> bool:
    """Return whether a key names averaged weights: g_ema, netGEMA, ema_generator, Gs, g_running ..."""
    words = _WORD.findall(name)
    return any(word in ("Gs", "gs") or _AVERAGED_NAME.fullmatch(word.lower()) for word in words)


def renamings(held: dict[str, State], names: Sequence[str]) -> Iterator[dict[str, State]]:
    """Yield the state_dicts unchanged, then without the prefixes of wrappers, then with norms renamed.

    `names` are the tensor names of the module to load: "module" is a wrapper's prefix only if it is not among them.
    """
    yield held
    clean = {outer: _renamed(state, _without(_WRAPPERS)) for outer, state in held.items()}
    yield clean
    if not any("module" in name.split(".") for name in names):
        bare = {outer: _renamed(state, _without((*_WRAPPERS, "module"))) for outer, state in held.items()}
        yield bare
        clean = bare
    for rename in (_parametrized, _by_hooks):
        yield {outer: rename(state) for outer, state in clean.items()}


def _renamed(state: State, rename: Callable[[str], str]) -> State:
    return {rename(name): value for name, value in state.items()}


def _without(parts: Sequence[str]) -> Callable[[str], str]:
    return lambda name: ".".join(part for part in name.split(".") if part not in parts)


def _parametrized(state: State) -> State:
    """Rename the tensors of weight and spectral norm to the names in torch.nn.utils.parametrizations."""

    def rename(name: str) -> str:
        stem, dot, leaf = name.rpartition(".")
        base, _, kind = leaf.rpartition("_")
        norm = _SPECTRAL_NORM if f"{stem}{dot}{base}_orig" in state else _WEIGHT_NORM
        whole = {f"{stem}{dot}{base}_{each}" for each in list(norm)[:2]} <= state.keys()
        return f"{stem}{dot}parametrizations.{base}.{norm[kind]}" if whole and kind in norm else name

    return _renamed(state, rename)


def _by_hooks(state: State) -> State:
    """Rename the tensors of weight and spectral norm to the names in torch.nn.utils."""
    kinds = {new: old for norm in (_WEIGHT_NORM, _SPECTRAL_NORM) for old, new in norm.items()}

    def rename(name: str) -> str:
        found = _PARAMETRIZED.fullmatch(name)
        return f"{found[1] or ''}{found[2]}_{kinds[found[3]]}" if found else name

    return _renamed(state, rename)

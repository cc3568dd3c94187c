"""Find the generator's state_dict in a checkpoint from elsewhere, which may hold optimizers and other networks too.

Pickles are loaded with `weights_only=True` only. Besides tensors, two kinds of plain data are allowed.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gantool.export.graph.load_checkpoint import load_checkpoint
from gantool.export.graph.state_dicts import State, is_averaged, renamings, state_dicts, unnamed_lists
from gantool.runtime.errors import GantoolError
from gantool.runtime.process.terminal import listed, short, sides

_log = logging.getLogger(__name__)

_TRIVIAL = {"module", "_orig_mod", "_fsdp_wrapped_module", "_forward_module"}  # prefixes of wrappers
_SHARD = re.compile(r".*-(\d{5})-of-(\d{5})\.\w+")
# A tensor of stride 0 may claim any size, so the size is limited to _SLACK bytes + _TIMES * the file's size.
_SLACK, _TIMES = 64 << 20, 16


@dataclass(frozen=True)
class ExpectedState:
    """The names and shapes that a generator's state_dict must have."""

    anchor: str  # one of its names; whatever precedes it in a file is a prefix
    mismatch: Callable[[State], str | None]  # returns why a state_dict does not fit, or None
    names: tuple[str, ...] = ()  # all names


def read_weights(path: Path, key: str | None, expected: ExpectedState) -> State:
    """Return the state_dict of `path` that fits, below `key` if given; prefer averaged weights to raw ones.

    Raises GantoolError, with the state_dicts that the file holds, if none or several fit.
    """
    content = load_checkpoint(path)
    held = dict(state_dicts(content))
    if key is not None:
        held = _select_key(held, key, path)
    if not held:
        raise GantoolError(
            f"{path} holds no state_dict of tensors: torch.save(generator.state_dict(), {path.name!r})"
        )
    fitting = next(filter(None, (_fitting(form, expected) for form in renamings(held, expected.names))), {})
    if not fitting:
        raise GantoolError(_none_fits(path, held, expected))
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
            f"{path}: gantool takes {short(name)}, the averaged weights; for the raw ones give "
            f"{path}:{short(other)}"
        )
    elif name:
        _log.info(f"{path}: gantool takes {short(name)}")
    if (
        not averaged
        and key is None
        and (lists := [each for each in unnamed_lists(content) if is_averaged(each)])
    ):
        _log.warning(
            f"warning: {path} has averaged weights in {short(lists[0])} as a list without names, which gantool "
            "cannot read: copy them into the generator, as with ema.copy_to(generator.parameters()), and save "
            "its state_dict"
        )
    _check_sizes(path, fitting[name])
    return fitting[name]


def expected_state(module: nn.Module) -> ExpectedState:
    """Return the names and shapes of the module's state_dict. Raises GantoolError if it has no weights."""
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
            ) + _norm_advice(missing, unexpected)
        for name, value in state.items():
            target = expected[name]
            if not nn.parameter.is_lazy(target) and target.shape != value.shape:
                return f"{short(name)} is [{sides(value.shape)}], expected [{sides(target.shape)}]"
        return None

    meta_copy = _meta_copy(module)

    def fits(state: State) -> str | None:
        reason = mismatch(state)
        return None if reason and meta_copy is not None and _loads(meta_copy, state) else reason

    return ExpectedState(anchor, fits, tuple(expected))


def _meta_copy(module: nn.Module) -> nn.Module | None:
    """Return a copy of the module on the meta device, to try loading; None if it cannot be copied."""
    try:
        return deepcopy(module).to("meta")
    except Exception:  # the user's module may raise anything
        return None


def _loads(meta_copy: nn.Module, state: State) -> bool:
    """Return whether a module loads a state_dict. Its load hooks, or torch's, may rename keys."""
    if not any(name in state for name in meta_copy.state_dict()):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that loading into meta tensors does nothing
            meta_copy.load_state_dict(dict(state))
    except Exception:
        return False
    return True


def _norm_advice(missing: set[str], unexpected: set[str]) -> str:
    """Return advice if only the file or only the module has weight or spectral norm; else ""."""
    leaves = {name.rpartition(".")[2] for name in unexpected}
    expected = {name.rpartition(".")[2] for name in missing}
    for norm, mark, new in (
        ("weight_norm", "weight_g", "original0"),
        ("spectral_norm", "weight_orig", "original"),
    ):
        if mark in leaves or new in leaves:
            return f"; it was saved with {norm}: let the function return the generator with it, as in the training"
        if mark in expected or new in expected:
            return f"; it was saved without {norm}: let the function return the generator without it"
    return ""


def _fitting(held: dict[str, State], expected: ExpectedState) -> dict[str, State]:
    return {
        name: state
        for outer, whole in held.items()
        for name, state in _parts_with_anchor(outer, whole, expected.anchor)
        if expected.mismatch(state) is None
    }


def _parts_with_anchor(outer: str, state: State, anchor: str) -> Iterator[tuple[str, State]]:
    """Yield the parts of a state_dict that may be the generator's, without the prefix of their names."""
    for name in state:
        if name == anchor or name.endswith(f".{anchor}"):
            prefix = name[: -len(anchor)]
            part = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            label = "" if set(prefix.strip(".").split(".")) <= _TRIVIAL else prefix.rstrip(".")
            yield ".".join(filter(None, (outer, label))), part


def _select_key(held: dict[str, State], key: str, path: Path) -> dict[str, State]:
    """Return the state_dicts at or below `key`; its end may also be a prefix of tensor names."""
    found = {name: state for name, state in held.items() if name == key or name.startswith(f"{key}.")}
    for name, state in held.items():
        if not found and (not name or key.startswith(f"{name}.")):
            prefix = f"{key[len(name) :].removeprefix('.')}."
            part = {inner[len(prefix) :]: value for inner, value in state.items() if inner.startswith(prefix)}
            found = {key: part} if part else {}
    return found or _select_by_suffix(held, key, path)


def _select_by_suffix(held: dict[str, State], key: str, path: Path) -> dict[str, State]:
    """Return the state_dicts at or below the only path that ends in `key`: state_dict.G for G."""
    names = (f"{outer}.{name}".strip(".") for outer, state in held.items() for name in state)
    found = (f".{name}".partition(f".{key}.") for name in names)
    paths = list(dict.fromkeys(f"{before}.{key}"[1:] for before, middle, _ in found if middle))
    if not paths:
        raise GantoolError(f"{path} has no state_dict under {short(key)!r}; it holds {_list_of(held)}")
    if len(paths) > 1:
        raise GantoolError(
            f"{path} has several state_dicts under {short(key)!r}: {listed(paths)}; choose one, as in "
            f"{path}:{short(paths[0])}"
        )
    return _select_key(held, paths[0], path)


def _is_raw(name: str, others: list[str]) -> bool:
    """Return whether a key holds raw weights beside averaged ones: ema.online_model beside ema.ema_model."""
    for other in others:
        pairs = zip(name.split("."), other.split("."), strict=False)
        mine, its = next(((one, two) for one, two in pairs if one != two), ("", ""))
        if is_averaged(its) and not is_averaged(mine):
            return True
    return False


def _none_fits(path: Path, held: dict[str, State], expected: ExpectedState) -> str:
    parts = [
        (name, state, expected.mismatch(state) or "")
        for outer, whole in held.items()
        for name, state in (*_parts_with_anchor(outer, whole, expected.anchor), (outer, whole))
    ]
    # report the part with the anchor, else the largest
    name, _, reason = max(parts, key=lambda part: (expected.anchor in part[1], len(part[1])))
    where = f"{path}:{short(name)}" if name else str(path)
    if shard := _SHARD.fullmatch(path.name):
        reason += (
            f"; it is part {int(shard[1])} of {int(shard[2])} of a checkpoint: merge the parts into one file"
        )
    if len(held) == 1:
        return f"{where} does not fit the generator: {reason}"
    return f"{path} holds {_list_of(held)}, and none fits the generator; {where}: {reason}"


def _list_of(held: dict[str, State]) -> str:
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

"""Which images a request asks for, of the engine that it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from gantool.runtime.classes import Shares, every_class, labels, parse_classes, safe_names
from gantool.runtime.errors import UsageError
from gantool.runtime.items import Items
from gantool.runtime.request import Request
from gantool.runtime.seeds import Row, Seed, Seeds, Series, first_seed, parse_seeds, seed_name
from gantool.runtime.shards import parse_shard, shard
from gantool.runtime.spec import Spec
from gantool.runtime.variations import COUNT, SPREAD, near

DEFAULT_SEEDS = "0-63"


@dataclass(frozen=True)
class Selection:
    """The images of a request."""

    items: Items  # those of this shard
    every: Items  # those of all shards


def seeds_of(request: Request, rows: int = 0) -> Seeds:
    """Return the seeds of all shards, or `rows` rows of a file. Raises UsageError for options that contradict."""
    sources = {
        "seeds": request.seeds,
        "per_class": request.per_class,
        "near": request.near,
        "z": request.z,
    }
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"`{given[0]}` and `{given[1]}` both say which images to make: give one of them")
    _check_depends(request, "steps", "seeds")
    _check_depends(request, "spread", "near")
    _check_depends(request, "count", "near")
    if request.near is not None:
        spread = SPREAD if request.spread is None else request.spread
        return near(request.near, spread, COUNT if request.count is None else request.count)
    if request.per_class is not None:
        return Seeds((range(request.per_class),))
    if request.z is not None:
        if request.truncation != 1 or request.resample is not None:
            raise UsageError("`z` has z as it is used: leave `truncation` and `resample` out")
        return Seeds((Series(Row, range(rows)),))
    return parse_seeds(DEFAULT_SEEDS if request.seeds is None else request.seeds, request.steps)


def _check_depends(request: Request, name: str, on: str) -> None:
    if getattr(request, name) is not None and getattr(request, on) is None:
        raise UsageError(f"`{name}` {getattr(request, name)} is for `{on}`: give that too")


def select(request: Request, seeds: Seeds, spec: Spec) -> Selection:
    """Return the images of a request. Raises UsageError for classes that the engine does not have."""
    every = items_of(request, seeds, spec)
    if request.shard is None:
        return Selection(every, every)
    return Selection(replace(every, seeds=shard(seeds, *parse_shard(request.shard))), every)


def items_of(request: Request, seeds: Seeds, spec: Spec) -> Items:
    """Return seeds, classes and names. Raises UsageError."""
    if spec.classes == 0:
        for name, given in (
            ("label", request.label),
            ("per_class", request.per_class),
            ("balance", request.balance),
            ("layout", request.layout if request.layout != "flat" else None),
        ):
            if given is not None:
                raise UsageError(
                    f"`{name}` {given} is for conditional generators: this engine takes no label"
                )
        return Items(seeds)
    folders = request.layout == "folders"
    if folders and request.format in ("npy", "tar", "-"):
        raise UsageError(
            f"`layout` folders is for files of images: `format` {request.format} has one place for all"
        )
    classes: tuple[int, ...] = ()
    if request.label is not None:
        classes = parse_classes(request.label, spec)
    elif request.per_class is not None:
        classes = every_class(spec)
    several = len(classes) > 1
    safe = safe_names(spec.class_names)
    named = partial(_named, safe if folders or several else None, folders)
    if classes:
        if request.balance is not None:
            raise UsageError(
                f"`balance` {request.balance} chooses the class of a seed: leave `label` and `per_class` out"
            )
        return Items(seeds, classes, named=named)
    labels([], spec.classes)  # raises UsageError if the number of classes is not known
    if request.balance == "data":
        return Items(seeds, class_of=partial(_by_share, _shares(spec)), named=named)
    return Items(seeds, class_of=partial(_even, spec.classes or 1), named=named)


def _even(classes: int, seed: Seed) -> int:
    return first_seed(seed) % classes


def _by_share(shares: Shares, seed: Seed) -> int:
    return shares(first_seed(seed))


def _shares(spec: Spec) -> Shares:
    if not spec.class_counts:
        raise UsageError(
            "`balance` data: the engine does not say how many training images each class had, because it was "
            "trained by an earlier gantool or elsewhere: choose even, or train and export again"
        )
    return Shares(spec.class_counts)


def _named(safe: tuple[str, ...] | None, folders: bool, seed: Seed, label: int | None) -> str:
    """Return `seed0004`; with the safe names of classes `Shoes/seed0004` or `seed0004-Shoes`."""
    name = seed_name(seed)
    if safe is None or label is None:
        return name
    of_class = safe[label] if label < len(safe) else str(label)
    return f"{of_class}/{name}" if folders else f"{name}-{of_class}"

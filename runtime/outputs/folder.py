"""The folder of a run, which never overwrites the images of another one silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from gantool.runtime.errors import UsageError
from gantool.runtime.outputs.dataset_json import LabelsFile
from gantool.runtime.request import Request
from gantool.runtime.shards import of_other_count, part_name

DEFAULT = Path("images")
Taken = Callable[[Path], "Path | None"]  # a folder -> a file in it that this run would overwrite


def folder_for(out: Path | None, taken: Taken, *, resume: bool, force: bool) -> Path:
    """Return the folder to write to: `out`, or the first of images, images2 and so on that has none of the images.

    `resume` goes on in the last of these, `force` overwrites the first. Raises UsageError if `out` has some of the
    images, and it is not a run with `resume` or `force`.
    """
    if out is not None:
        if not resume and not force and (found := taken(out)):
            raise UsageError(
                f"`out` {out} already has {found.relative_to(out)}: give `resume` to make only what is missing, "
                "`force` to overwrite it, or another `out`"
            )
        return out
    if force:
        return DEFAULT
    if resume:
        return _last()
    return next(folder for folder in _numbered() if taken(folder) is None)


def refuse_others(request: Request, labels: LabelsFile | None, folder: Path) -> None:
    """Raise UsageError for a folder with labels of other classes, or with arrays or tars of other shards."""
    if request.force:
        return
    if labels and (found := labels.other_classes(folder)):
        raise UsageError(
            f"{found} does not hold labels of these classes: choose another `out`, or give `force` to overwrite it"
        )
    if other := of_other_count(folder, part_name(request.shard)):
        raise UsageError(
            f"`shard` {request.shard}: {other} is of another number of shards, so {folder} would "
            "have images twice: give the same number, or choose another `out`"
        )


def _numbered() -> Iterator[Path]:
    yield DEFAULT
    yield from (Path(f"{DEFAULT}{number}") for number in count(2))


def _last() -> Path:
    last = DEFAULT
    for folder in _numbered():
        if not folder.exists():
            break
        last = folder
    return last

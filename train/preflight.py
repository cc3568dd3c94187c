"""Check a training run before torch is loaded: its options, its source, its classes.

So errors about a missing folder or a wrong flag come at once, and --dry-run decodes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gantool.models.config import CHECKPOINT_NAME, NetworkConfig
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.flags import options as options_of
from gantool.train.data.channels import likely_transparent
from gantool.train.data.decode import Into, is_grey
from gantool.train.data.fashion_mnist import CLASSES as FASHION_CLASSES
from gantool.train.data.fashion_mnist import NAME as FASHION_MNIST
from gantool.train.data.labels import Labels, why_none
from gantool.train.data.listing import Listing, no_images
from gantool.train.data.sources import CONTAINERS, Source, find_source
from gantool.train.options import LaunchOptions, Precision, TrainingOptions, read_options
from gantool.train.run_dir import OPTIONS_NAME, find_run, named_or_newest


@dataclass(frozen=True)
class Planned:
    """A new run whose options and source were checked."""

    options: TrainingOptions  # classes are set later; so are channels and precision if they are None below
    source: Source | str  # text: of a distillation without real images, which does not open it
    conditional: bool
    channels: int | None  # None: those of the images
    precision: Precision | None  # None: the fastest


@dataclass(frozen=True)
class Resumed:
    """A run to resume, and its new options."""

    folder: Path
    options: TrainingOptions


def plan(options: TrainingOptions, launch: LaunchOptions, given: Collection[str]) -> Planned:
    """Check a new run.

    Raises UsageError for `conditional` with a source without classes, GantoolError for a missing source.
    """
    if options.teacher and not options.real_data:
        return Planned(
            options, options.data, False, None, options.precision if "precision" in given else None
        )
    source = find_source(options.data)
    if options.data != FASHION_MNIST:
        with _images(source, options.data) as listing:
            if launch.conditional:
                _classes(options.data, listing)
    return Planned(
        _with_absolute_path(options),
        source,
        launch.conditional,
        _asked_channels(options, given),
        options.precision if "precision" in given else None,
    )


def _with_absolute_path(options: TrainingOptions) -> TrainingOptions:
    """Return the options with the absolute path of the data, so that the run can be resumed from any folder."""
    if options.data == FASHION_MNIST or not Path(options.data).exists():
        return options
    return replace(options, data=str(Path(options.data).absolute()))


def _asked_channels(options: TrainingOptions, given: Collection[str]) -> int | None:
    """Return the channels that were asked for; None: those of the images. Images of 16 bits are grey."""
    return options.network.channels if "channels" in given or options.network.bits == 16 else None


@contextmanager
def _images(source: Source, name: str) -> Iterator[Listing]:
    """Open a source. Raises GantoolError, which begins with `name`, if it has no images."""
    with source.open() as listing:
        if not listing.names:
            raise no_images(name, listing.others)
        yield listing


def _classes(data: str, listing: Listing) -> Labels:
    """Return the classes for --conditional. Raises UsageError if there are none."""
    if labels := listing.labels():
        return labels
    raise UsageError(
        f"`conditional`: {data} has no labels ({why_none(listing.names)}); put its images into a folder for each "
        "class, or give them in dataset.json"
    )


def dry_run(options: TrainingOptions, launch: LaunchOptions, given: Collection[str]) -> TrainingOptions:
    """Return the options that `train` would save, with channels from the headers of the images.

    Raises the errors of `train` that do not need PyTorch.
    """
    if launch.resume is not None:
        return plan_resume(options, launch, given).options.resolved()
    into = Into(options.network.size, background=options.background, fit=options.fit)
    channels, classes = _asked_channels(options, given), 0
    if options.data == FASHION_MNIST:  # its facts are known, so do not download it
        found, classes = 1, len(FASHION_CLASSES) if launch.conditional else 0
    else:
        with _images(find_source(options.data), options.data) as listing:
            if launch.conditional:
                classes = len(_classes(options.data, listing).classes)
            found = _channels(listing, into) if channels is None else 0
    network: NetworkConfig = replace(options.network, channels=channels or found, classes=classes)
    return replace(_with_absolute_path(options), network=network).resolved()


def _channels(listing: Listing, into: Into) -> int:
    """Return 4 if transparency stays, 3 if any image has colour by its header, else 1."""
    if into.background is None and likely_transparent(listing):
        return 4
    for index in range(len(listing.names)):
        try:
            if not is_grey(listing.read(index), into):
                return 3
        except Exception:  # noqa: PERF203 (a damaged file can raise any error; decoding reports it later)
            continue
    return 1


def run_to_resume(launch: LaunchOptions, given: Collection[str]) -> Path:
    """Return the folder of the run that `launch.resume` names.

    Raises GantoolError for a folder that is not a run, UsageError for given options that a resume cannot change.
    """
    folder = find_run(str(launch.resume), launch.outdir)
    changeable = {
        name for name, option in options_of(TrainingOptions).items() if option.flag and option.flag.on_resume
    }
    named = {*given, *(["conditional"] if launch.conditional else [])}
    if fixed := sorted(named - changeable):
        raise UsageError(f"`resume` goes on with the settings of {folder}: leave out `{'`, `'.join(fixed)}`")
    return folder


def plan_resume(options: TrainingOptions, launch: LaunchOptions, given: Collection[str]) -> Resumed:
    """Find the run that `launch.resume` names, and change its options to the given ones.

    Raises GantoolError for a folder that is not a run, UsageError for options that a resume cannot change.
    """
    folder = run_to_resume(launch, given)
    # `minutes` limits the session, not the run
    changed = {"minutes": None, **{name: getattr(options, name) for name in given}}
    resumed = replace(read_options(folder / OPTIONS_NAME), **changed)
    if resumed.data != FASHION_MNIST and (resumed.real_data or not resumed.teacher):
        find_source(resumed.data)
    return Resumed(folder, resumed)


def check_evaluation(source: Path | None, data: str | None) -> Path:
    """Return the path to evaluate: `source`, or the newest run.

    Raises GantoolError for a path that does not exist or that has nothing to evaluate.
    """
    source = named_or_newest(source, CHECKPOINT_NAME)
    if not source.exists():
        raise GantoolError(
            f"{source}: there is no such file or folder; give a run, a checkpoint, a graph or images"
        )
    images = source.is_dir() and not (source / CHECKPOINT_NAME).is_file()
    if images or source.suffix.lower() in CONTAINERS:
        with _images(find_source(str(source)), f"{source} holds no checkpoint ({CHECKPOINT_NAME}), and"):
            pass
    if data is not None and data != FASHION_MNIST:
        with _images(find_source(data), data):
            pass
    return source

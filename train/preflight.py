"""All that can be known of a training before torch is loaded: its flags, its source, its classes.

A missing folder or a wrong flag is answered at once, and --dry-run decodes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gantool.models.config import CHECKPOINT_NAME, NetworkConfig
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.flags import Given, options
from gantool.train.data.decode import is_grey
from gantool.train.data.fashion_mnist import CLASSES as FASHION_CLASSES
from gantool.train.data.fashion_mnist import NAME as FASHION_MNIST
from gantool.train.data.labels import Labels, why_none
from gantool.train.data.listing import Listing, no_images
from gantool.train.data.sources import CONTAINERS, Source, find_source
from gantool.train.options import TrainingOptions, from_preset, read_options
from gantool.train.run_dir import OPTIONS_NAME, find_run, named_or_newest


@dataclass(frozen=True)
class Planned:
    """A new run whose options and source were found good."""

    options: TrainingOptions  # but for the channels, where none were given, and the classes
    preset: str
    source: Source
    given: Given  # of the options, those of NetworkConfig among them
    conditional: bool

    @property
    def channels(self) -> int | None:
        """Those that were given."""
        channels: int | None = self.given.get("channels")
        return channels


def plan(given: Given, conditional: bool) -> Planned:
    """Check a new run by what was given of TrainingOptions and NetworkConfig.

    Raises UsageError for options that cannot be, and for `conditional` with a source without classes; GantoolError
    for a source that is not there.
    """
    options, data = from_preset(given), given.get("data", FASHION_MNIST)
    source = find_source(data, _note)
    if data != FASHION_MNIST:
        with _images(source, data) as listing:
            if conditional:
                _classes(data, listing)
    return Planned(options, options.preset, source, given, conditional)


@contextmanager
def _images(source: Source, name: str) -> Iterator[Listing]:
    """Open a source. Raises GantoolError, which begins with `name`, where it holds no images."""
    with source.open() as listing:
        if not listing.names:
            raise no_images(name, listing.others)
        yield listing


def _classes(data: str, listing: Listing) -> Labels:
    """Return the classes for --conditional. Raises UsageError where there are none."""
    if labels := listing.labels():
        return labels
    raise UsageError(
        f"`conditional`: {data} has no labels ({why_none(listing.names)}); put its images into a folder for each "
        "class, or give them in dataset.json"
    )


def dry_run(given: Given, conditional: bool) -> None:
    """Print the options of a new run as JSON; the images' headers say its channels and classes."""
    options, data = from_preset(given), given.get("data", FASHION_MNIST)
    channels, classes = given.get("channels"), 0
    if data == FASHION_MNIST:  # known without it, so nothing is downloaded
        found, classes = 1, len(FASHION_CLASSES) if conditional else 0
    else:
        with _images(find_source(data, _note), data) as listing:
            if conditional:
                classes = len(_classes(data, listing).classes)
            found = _channels(listing, options.background) if channels is None else 0
    config: NetworkConfig = replace(options.network, channels=channels or found, classes=classes)
    _show(replace(options, network=config))
    _note(
        "precision, channels_last, compile and threads are measured when the run starts (--no-autotune: as above)"
    )


def _channels(listing: Listing, background: str) -> int:
    """Return 3 if any image is one of colour by its header, else 1."""
    for index in range(len(listing.names)):
        try:
            if not is_grey(listing.read(index), background):
                return 3
        except Exception:  # noqa: PERF203 (a damaged file can bring any error; it is named when it is decoded)
            continue
    return 1


def plan_resume(name: str, outdir: Path, given: Given) -> tuple[Path, TrainingOptions]:
    """Return the folder of a run to go on with, and its options; `given` may change those that allow it.

    Raises GantoolError for a folder that is not a run, UsageError for other options.
    """
    folder = find_run(name, outdir)
    changeable = {
        name for name, option in options(TrainingOptions).items() if option.flag and option.flag.on_resume
    }
    if fixed := sorted(given.keys() - changeable):
        raise UsageError(f"`resume` goes on with the settings of {folder}: leave out `{'`, `'.join(fixed)}`")
    # a limit of minutes is one of the session, not of the run
    resumed = replace(read_options(folder / OPTIONS_NAME), **{"minutes": None, **given})
    if resumed.data != FASHION_MNIST:
        find_source(resumed.data, _note)
    return folder, resumed


def show_resume(name: str, outdir: Path, given: Given) -> None:
    """Print the options of a run to go on with as JSON."""
    _show(plan_resume(name, outdir, given)[1])


def check_evaluation(source: Path | None, data: str | None) -> Path:
    """Return what `gantool evaluate` looks at: by default the newest run.

    Raises UsageError or GantoolError for what it cannot begin with.
    """
    source = named_or_newest(source, CHECKPOINT_NAME)
    if not source.exists():
        raise GantoolError(
            f"{source}: there is no such file or folder; give a run, a checkpoint, a graph or images"
        )
    images = source.is_dir() and not (source / CHECKPOINT_NAME).is_file()
    if images or source.suffix.lower() in CONTAINERS:
        with _images(
            find_source(str(source), _note), f"{source} holds no checkpoint ({CHECKPOINT_NAME}), and"
        ):
            pass
    if data is not None and data != FASHION_MNIST:
        with _images(find_source(data, _note), data):
            pass
    return source


def _show(options: TrainingOptions) -> None:
    print(json.dumps(options.resolved().to_json(), indent=2))


def _note(text: str) -> None:
    print(text, file=sys.stderr)

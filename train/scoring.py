"""`gantool evaluate`: score images of a run, a checkpoint, a graph, an engine or a folder against a data set."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from gantool.models import CHECKPOINT_NAME, load_checkpoint
from gantool.models.config import Size, square
from gantool.models.sampling import sample_images
from gantool.models.threads import leave_room
from gantool.runtime.classes import labels_of_data
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.images import eight_bits
from gantool.runtime.process.cpus import Others
from gantool.runtime.progress import task
from gantool.runtime.spec import Images
from gantool.train.data.dataset import load_images
from gantool.train.data.fashion_mnist import NAME as FASHION_MNIST
from gantool.train.data.sources import CONTAINERS, find_source
from gantool.train.metrics.evidence import Evidence, gather
from gantool.train.metrics.extractors import find_extractor
from gantool.train.metrics.measure import (
    Measurement,
    append_metric,
    measure,
    nearest_sheet,
    score_halves,
    subsample,
    warnings,
)
from gantool.train.metrics.scores import FeatureScores
from gantool.train.requests import EvaluateOptions
from gantool.train.run_dir import conversion_beside, options_beside

_LOOK = 0.1  # seconds to measure the CPU use of other programs

_log = logging.getLogger(__name__)

# The scores in `Scores.table`, with their meaning.
MEANING = {
    "fd": "Fréchet distance, 0 is best",
    "kid": "kernel distance, 0 is best",
    "precision": "share of generated images that lie among real ones",
    "recall": "share of real images that lie among generated ones",
    "diversity": "spread of generated images over that of real ones, 1 is as real",
    "copies": "share of generated images that are near-copies of a training image",
}


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images against a data set."""

    source: Path  # as given
    image: tuple[int, int, int]  # H, W, C
    kimg: float | None  # of a checkpoint
    data: str
    features: str  # name of the extractor
    measured: Measurement
    real_halves: FeatureScores | None  # half of the data against the other half; None for too few images
    notes: tuple[str, ...]  # reasons why the scores are unreliable
    nearest: Path  # the sheet of nearest training images
    evidence: Evidence | None = field(
        default=None, repr=False, compare=False
    )  # for a report, if one was asked for

    def to_json(self) -> dict[str, Any]:
        """Return the line of metric-<features>.jsonl."""
        height, width, channels = self.image
        return {
            "source": str(self.source),
            "image": f"{height}×{width}×{channels}",
            **({} if self.kimg is None else {"kimg": self.kimg}),
            "data": self.data,
            "features": self.features,
            **self.measured.to_json(),
            "real_halves": asdict(self.real_halves) if self.real_halves else {},
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """Return the scores as a table for people."""
        height, width, channels = self.image
        lines = [
            f"{self.source}: {self.measured.samples:,} images of {height}×{width}×{channels} against "
            f"{self.measured.real:,} of {self.data}, by {self.features}",
            f"  {'':<10} {'generated':>10} {'real':>10}   (real: half of the data against the other half)",
        ]
        for name, text in MEANING.items():
            of_real = f"{getattr(self.real_halves, name):.4f}" if self.real_halves else ""
            lines.append(f"  {name:<10} {getattr(self.measured.scores, name):>10.4f} {of_real:>10}   {text}")
        if (board := self.measured.checkerboard) is not None:
            lines.append(
                f"  {'checkerboard':<10} {board:>8.4f} {1:>10.4f}   energy at a period of two pixels; a visible "
                "checkerboard has 2 or more"
            )
        if classes := self.measured.classes:
            total, missing = len(classes.shares), len(classes.missing)
            named = f"; missing: {', '.join(classes.missing)}" if missing else ""
            lines.append(
                f"  {'classes':<10} {total - missing:>10} {total:>10}   classes of the data that the images show"
                f"{named}"
            )
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def score(source: Path, options: EvaluateOptions) -> Scores:
    """Score the images of `source`, which `preflight.check_evaluation` returned; write the metric and the sheet."""
    others = Others()
    time.sleep(_LOOK)
    leave_room(others)
    started = time.monotonic()
    named, images, kimg = _images(source, options.samples)
    _log.debug("%s images in %.1f s", f"{len(images):,}", time.monotonic() - started)
    data = options.data or _data_of(named)
    _, height, width, channels = images.shape
    loaded = load_images(data, Size(height, width), channels, *conversion_beside(named)).in_eight_bits
    extractor = find_extractor(options.features, loaded)
    real = extractor.vectors(subsample(loaded.images))
    folder = options.out or (Path() if named.is_dir() else named.parent)
    scores = Scores(
        source,
        (height, width, channels),
        kimg,
        loaded.name,
        extractor.name,
        measure(extractor, loaded, images, real),
        score_halves(real),
        tuple(warnings(extractor, images, loaded)),
        folder / "nearest.png",
        None if options.html is None else gather(extractor, subsample(loaded.images), images, real),
    )
    append_metric(folder, extractor.name, scores.to_json())
    save_image(scores.nearest, nearest_sheet(extractor, loaded.images, images))
    _log.debug("scored by %s, all in %.1f s", extractor.name, time.monotonic() - started)
    return scores


def _images(source: Path, samples: int) -> tuple[Path, Images, float | None]:
    """Return the file or folder of the images, the images, uint8 [N, H, W, C], and the kimg if known.

    The classes of a conditional generator have the shares of its training data, with which it is compared.
    """
    if source.is_dir() and (source / CHECKPOINT_NAME).is_file():
        source = source / CHECKPOINT_NAME
    if source.suffix == ".safetensors":
        checkpoint = load_checkpoint(source)
        of_class = labels_of_data(range(samples), checkpoint.metadata.class_counts)
        images = sample_images(checkpoint.generator, range(samples), of_class=of_class)
        return source, images, checkpoint.metadata.images_seen / 1000
    if source.is_dir() or source.suffix.lower() in CONTAINERS:
        return source, _folder_images(source, samples), None
    with Generator.load(source) as engine, task("generating", samples, "images") as made:
        parts: list[Images] = []
        label = labels_of_data(range(samples), engine.spec.class_counts)
        for part in engine.generate(range(samples), label=label):
            parts.append(eight_bits(part).copy())  # the engine may reuse its memory
            made.update(sum(map(len, parts)))
        return source, np.concatenate(parts), None


def _folder_images(source: Path, samples: int) -> Images:
    """Return the images of a folder or archive, in their size, or if that differs as squares of a median size."""
    with find_source(str(source)).open() as listing:
        found = [image.size for image in islice(_readable(listing.read, len(listing.names)), 100)]
    if not found:
        raise GantoolError(f"{source} holds no checkpoint ({CHECKPOINT_NAME}) and no image that can be read")
    width, height = found[0]
    size = Size(height, width) if len({*found}) == 1 else square(median_low(map(min, found)))
    return subsample(load_images(str(source), size).images, samples)


def _readable(read: Callable[[int], Any], count: int) -> Iterator[Any]:
    for index in range(count):
        try:
            yield read(index)
        except Exception:  # noqa: PERF203 (a damaged file can raise any error from a decoder)
            continue


def _data_of(named: Path) -> str:
    """Return the training data of a checkpoint or a graph. Raises UsageError if it is not known."""
    if (options := options_beside(named)) and options.data:  # a student's run may not know its teacher's
        return options.data
    if named.suffix == ".safetensors" and load_checkpoint(named).metadata.data == FASHION_MNIST:
        return FASHION_MNIST
    raise UsageError(f"the training data of {named} are not known: give `data` FOLDER (or fashion-mnist)")

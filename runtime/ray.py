"""Images as a Ray Dataset: a pool of actors on a Ray cluster, each with an engine of its own.

>>> dataset = gantool.ray.images("g.onnx", range(1_000_000), gantool.ray.Options(actors=4))
>>> dataset.write_parquet("images")

Ray restarts an actor that dies, and computes its lost rows again. A seed gives the same image each time, so nothing
is lost or doubled. Ray is imported where it is used: only this file knows it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.classes import labeller
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.generator import DEFAULT_BATCH, MAX_BATCH, Generator
from gantool.runtime.items import Item
from gantool.runtime.outputs.encoding import ENCODINGS, Encoding, Name
from gantool.runtime.outputs.webdataset import about, key
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.request import Provider
from gantool.runtime.seeds import Seed, Seeds, as_seeds, parse_seed, seed_name

if TYPE_CHECKING:
    from ray.data import Dataset

_BATCHES = 16  # of a part: what is computed again if its actor dies
_MARK = "mark"  # the column of XMP packets between engine and encoder
_PARTS = 10_000  # at most: the driver keeps a record of each
_log = logging.getLogger(__name__)
_Rows = dict[str, Any]  # column -> an array, one entry a row


@dataclass(frozen=True)
class Options:
    """How a pool makes images, and which ones. Raises UsageError for invalid values."""

    actors: int = 1  # each loads the engine
    cpus: int = 1  # of each actor; a graph on the CPU runs with as many threads
    gpus: float = 0  # of each actor; 0.5: two actors share a GPU
    batch: int = DEFAULT_BATCH
    provider: Provider = "auto"  # of a graph, as in `Generator.load`
    label: int | str | None = None  # class of all images; None: one for each seed
    truncation: float = 1.0
    resample: float | None = None  # as in `Generator.stream`
    format: Name | None = None  # png, webp, jpg or tiff: files with marks instead of pixels
    quality: int | None = None  # of jpg
    mark: bool = True  # files say that they are generated, and how
    credit: str | None = None  # of the mark

    def __post_init__(self) -> None:
        for name, most in (("actors", 100_000), ("cpus", 1024), ("batch", MAX_BATCH)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"`{name}` {getattr(self, name)}: give a whole number from 1 to {most:,}")
        if self.gpus < 0:
            raise UsageError(f"`gpus` {self.gpus}: give 0 or more")
        if self.format is None:
            if self.quality is not None or self.credit is not None:
                raise UsageError("`quality` and `credit` are for files: give `format`, as in png")
        elif self.format not in ENCODINGS:
            raise UsageError(f"`format` {self.format}: choose {', '.join(ENCODINGS)}")
        _ = self.encoding  # its constructor checks `quality`

    @property
    def encoding(self) -> Encoding:
        """The encoding of files."""
        return Encoding(self.format or "png", quality=self.quality)


def images(
    engine: str | os.PathLike[str], seeds: Iterable[Seed | str] | str, options: Options | None = None
) -> Dataset:
    """Return a Dataset of the images of `seeds`, with one row an image; Ray computes it as it is consumed.

    Columns: `seed`, an int64, or text if there are mixes; `class`, an int64, if the generator is conditional; and
    `image`, uint8 [H, W, C]. With `format` png, `png` has the bytes of the file instead of `image`. Rows are in any
    order. `engine` lies at the same path on every node, or is an engine there of the same graph.

    Raises MissingDependencyError without Ray, and GantoolError if the engine is missing or damaged. Other mistakes
    show when an actor starts.
    """
    options, path = options or Options(), Path(engine).absolute()
    work = _Work(path, Origin.of(path).graph, _listed(as_seeds(seeds)), options)
    try:
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingDependencyError("ray[data]", "ray", "gantool.ray") from error
    parts = _parts(len(work.seeds), options)
    # not ray.data.range, whose tasks would wait for CPUs that the actors hold
    made = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
        _Engine,
        fn_constructor_args=(work,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=options.actors),
        num_cpus=options.cpus,
        num_gpus=options.gpus or None,
    )
    _warn(options, ray.cluster_resources().get("CPU", 0))
    if options.format is None:
        return made
    return made.map_batches(_files, fn_args=(options,), batch_size=options.batch)


def sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row with a file into a sample of a WebDataset: the `encoder` of `Dataset.write_webdataset`.

    Its members are those of `gantool generate --format tar`: seed0004.png and seed0004.json; of a conditional
    generator seed0004-3.png for class 3, seed0004-3.json and seed0004-3.cls. The JSON has the seed and the class;
    the mark is in the image alone. Raises UsageError for pixels.
    """
    file = next((name for name in ENCODINGS if name in row), None)
    if file is None:
        raise UsageError("a WebDataset holds files: give `format`, as in Options(format='png')")
    seed = parse_seed(str(row["seed"]))
    label = int(row["class"]) if "class" in row else None
    item = Item(seed_name(seed) if label is None else f"{seed_name(seed)}-{label}", seed, label)
    made = {"__key__": key(item), file: row[file]}
    if label is not None:
        made["cls"] = str(label)
    return made | {"json": json.dumps(about(item))}


@dataclass(frozen=True)
class _Work:
    """What each actor of a pool is told."""

    path: Path  # of the engine
    graph: str  # SHA-256 of the graph that it came from
    seeds: Sequence[Seed]
    options: Options


class _Engine:
    """An actor of the pool: turns parts of the list of seeds into images."""

    def __init__(self, work: _Work) -> None:
        """Load the engine. Raises GantoolError if it is of another graph, and UsageError for wrong options."""
        origin, options = Origin.of(work.path), work.options
        if origin.graph != work.graph:
            raise GantoolError(
                f"{work.path} on {platform.node()} is of another graph than that of the program: copy the same "
                "file to all nodes"
            )
        threads = options.cpus if identify(work.path) == "onnx" else None
        self._generator = Generator.load(work.path, options.provider, threads)
        self._label_of = labeller(options.label, self._generator.spec)
        self._generator.z((), options.truncation, options.resample)  # raises UsageError
        self._seeds, self._options = work.seeds, options
        self._numbers = _numbers(work.seeds)
        self._marker = self._made_marker(origin) if options.format and options.mark else None

    def __call__(self, parts: _Rows) -> Iterator[_Rows]:
        """Yield batches of images of the parts, and of what belongs to them."""
        options = self._options
        for start, stop in zip(parts["start"], parts["stop"], strict=True):
            seeds = (self._seeds[place] for place in range(int(start), int(stop)))
            of_all = (options.batch, options.truncation, options.label)
            for batch, images in self._generator.stream(seeds, *of_all, resample=options.resample):
                yield self._columns(batch) | {"image": images}

    def _columns(self, seeds: list[Seed]) -> _Rows:
        """Return seeds, their classes, and the marks that files need."""
        made: _Rows = {"seed": np.array(seeds if self._numbers else [str(seed) for seed in seeds])}
        labels = [cast("int | None", label) for _, label in self._label_of(seeds)]
        if self._generator.spec.classes != 0:
            made["class"] = np.array(labels, np.int64)
        if self._marker:
            items = (Item("", seed, label) for seed, label in zip(seeds, labels, strict=True))
            made[_MARK] = np.array([self._marker.packet(item) for item in items], object)
        return made

    def _made_marker(self, origin: Origin) -> Marker:
        options, generator = self._options, self._generator
        record = origin.record(generator.name)
        record = replace(record, truncation=options.truncation, resample=options.resample)
        return Marker(record, options.credit, authorship=generator.spec.authorship)


def _files(rows: _Rows, options: Options) -> _Rows:
    """Encode images in a task of their own, so that no engine waits for an encoder."""
    images, encoding = rows.pop("image"), options.encoding
    marks = rows.pop(_MARK, [None] * len(images))
    files = [encoding.encode(image, mark) for image, mark in zip(images, marks, strict=True)]
    return rows | {encoding.format: np.array(files, object)}


def _listed(seeds: Iterable[Seed]) -> Sequence[Seed]:
    """Return seeds that have a length and places; ranges stay ranges, since each actor gets them."""
    return cast("Sequence[Seed]", seeds) if isinstance(seeds, (range, Seeds)) else [*seeds]


def _numbers(seeds: Sequence[Seed]) -> bool:
    """Return whether all seeds are numbers: a column has one type."""
    parts = seeds.parts if isinstance(seeds, Seeds) else (seeds,)
    return all(isinstance(part, range) or all(isinstance(seed, int) for seed in part) for part in parts)


def _parts(count: int, options: Options) -> list[dict[str, int]]:
    """Return parts of `count` seeds: enough for all actors, and so few that the driver bears them."""
    batches = -(-count // options.batch)
    number = max(1, min(max(-(-batches // _BATCHES), 4 * options.actors), batches, _PARTS))
    size = -(-batches // number) * options.batch
    return [
        {"start": start, "stop": min(start + size, count)} for start in range(0, max(count, 1), size or 1)
    ]


def _warn(options: Options, cpus: float) -> None:
    """Warn if the actors take all CPUs of the cluster."""
    if options.actors * options.cpus >= cpus:
        _log.warning(
            "%d actors take all %g CPUs of the cluster: tasks that encode or write wait until there are more; give "
            "fewer `actors`",
            options.actors,
            cpus,
        )

"""The engines that are served: loaded once, each the engine of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.artifacts.sidecar import sha256
from gantool.runtime.classes import OfImage, labeller
from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError
from gantool.runtime.generator import Generator, load_backend
from gantool.runtime.items import Item
from gantool.runtime.latents import latents
from gantool.runtime.newest import engines as newest
from gantool.runtime.provenance.marker import Marker, ZOf
from gantool.runtime.provenance.signature import require
from gantool.runtime.seeds import Seed, seed_name
from gantool.runtime.serve.marks import Marks
from gantool.runtime.serve.options import ServeOptions
from gantool.runtime.spec import Images, Latents, Spec

GOLDEN = range(10)  # the seeds of `gantool export --bundle`
Key: TypeAlias = (
    "tuple[Seed, float] | NDArray[Any]"  # what an image is of: seed and truncation, or a row of z
)
Wanted: TypeAlias = "list[tuple[Key, OfImage | None]]"  # keys and their classes


@dataclass(frozen=True, eq=False)
class Engine:
    """A loaded engine. `images` runs in one thread only, the engine thread."""

    name: str
    file: str  # its name
    generator: Generator
    sha256: str
    marks: Marks | None  # None: its images have none
    directions: Directions | None = None

    @property
    def spec(self) -> Spec:
        """The inputs and outputs of the engine."""
        return self.generator.spec

    def marker(
        self, truncation: float, background: str | None = None, z_of: ZOf | None = None
    ) -> Marker | None:
        """Return what marks its images, as `Marks.marker` does; None if they have no marks."""
        return None if self.marks is None else self.marks.marker(truncation, background, z_of)

    def images(self, wanted: Wanted) -> Images:
        """Return the images, [n, H, W, C]."""
        count = len(wanted)
        # several batches are shared among the cores, which is faster than all cores on a layer of one batch
        halves = "CPU" in self.generator.name and self.spec.max_batch in (None, 1)
        batch = -(-count // 2) if halves else count
        made = [images for _, images in self.generator.run(wanted, self._z, batch)]
        return made[0] if len(made) == 1 else np.concatenate(made)

    def golden(self) -> Wanted:
        """Return the ten golden seeds, with the classes that they have in a bundle."""
        label = None if self.spec.classes is not None else 0
        return wanted_seeds(self.spec, list(GOLDEN), 1.0, label)

    def _z(self, keys: Sequence[Key]) -> Latents:
        """Return z, float32 [n, latent]."""
        spec = self.spec
        z = np.empty((len(keys), spec.latent), np.float32)
        seeded: dict[float, list[tuple[int, Seed]]] = {}  # by truncation
        for row, key in enumerate(keys):
            if isinstance(key, tuple):
                seeded.setdefault(key[1], []).append((row, key[0]))
            else:
                z[row] = key
        for truncation, pairs in seeded.items():
            seeds = (seed for _, seed in pairs)
            z[[row for row, _ in pairs]] = latents(seeds, spec.latent, spec.distribution, truncation)
        return z


def item_of(seed: Seed, label: OfImage | None) -> Item:
    """Return the item of a seed, or of a row of z, with its class or its shares of classes."""
    if isinstance(label, np.ndarray):
        return Item(seed_name(seed), seed, shares=tuple(label.tolist()))
    return Item(seed_name(seed), seed, label)


def wanted_seeds(spec: Spec, seeds: Sequence[Seed], truncation: float, label: Any = None) -> Wanted:
    """Return what the images of seeds are of. Raises UsageError for a label that the engine does not take."""
    pairs = labeller(label, spec, len(seeds))(seeds)
    return [((seed, truncation), of_image) for seed, of_image in pairs]


def load(options: ServeOptions) -> dict[str, Engine]:
    """Load the engines of all models. Raises GantoolError if one does not load; then none is."""
    models = options.models or {path.stem: path for path in newest(Path())[:1]}
    require(models.values(), options.require_signature)
    directions = None if options.directions is None else Directions.load(options.directions)
    found: dict[str, Engine] = {}
    try:
        for name, path in models.items():
            # without spinning: encoders and the event loop need the CPU too
            generator = Generator(load_backend(path, options.provider, options.threads, spin=False))
            marked = Marks.of(options, path, generator)
            fitting = _fitting(directions, generator.spec)
            found[name] = Engine(name, path.name, generator, sha256(path), marked, fitting)
    except BaseException:
        close(found)
        raise
    if directions is not None and not any(engine.directions for engine in found.values()):
        close(found)
        size = directions.vectors.shape[1]
        raise GantoolError(
            f"{options.directions} has directions of {size} numbers: no engine has z of this size"
        )
    return found


def close(engines: dict[str, Engine]) -> None:
    """Free the devices."""
    for engine in engines.values():
        engine.generator.close()


def _fitting(directions: Directions | None, spec: Spec) -> Directions | None:
    if directions is None or directions.vectors.shape[1] != spec.latent:
        return None
    return directions

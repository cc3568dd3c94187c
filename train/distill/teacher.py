"""The teacher of a distillation: a checkpoint, or any graph or engine that gantool runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gantool.models import Generator, NetworkConfig, load_checkpoint
from gantool.models.config import Size, config_from_json
from gantool.models.sampling import float_images
from gantool.runtime import Generator as Engine
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.classes import labels, labels_of_data
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.latents import latents
from gantool.runtime.metadata import Metadata
from gantool.runtime.outputs.images import to_levels
from gantool.runtime.process.terminal import short
from gantool.runtime.progress import task
from gantool.runtime.spec import Images, Latents, Spec
from gantool.train.data.dataset import ImageData
from gantool.train.data.labels import Labels

Classes = NDArray[np.int64]  # [N]

BATCH = 64  # images in one pass

# Seeds of the images that a student learns from. Comparisons use those below, so that they are of other images.
FIRST_SEED = 2**31
_BETWEEN_RUNS = 1_000_003  # seeds, between the lessons of runs of different `seed`


@dataclass(frozen=True)
class Teacher:
    """A generator whose images a student learns to make."""

    path: Path
    spec: Spec
    config: NetworkConfig | None  # None: of another tool
    data: str  # the name of its data set; "" if that is not known
    generator: Generator | None  # of a checkpoint
    # z [N, latent], classes [N] -> [N, H, W, C] of `spec.bits`
    generate: Callable[[Latents, Classes | None], Images]

    def inputs(self, seeds: range) -> tuple[Latents, Classes | None]:
        """Return z, [N, latent], and classes, [N], of seeds: with the shares of the data, if these are known."""
        spec = self.spec
        z = latents(seeds, spec.latent, spec.distribution)
        if not spec.classes:
            return z, None
        of_data = labels_of_data(seeds, spec.class_counts)
        return z, labels(seeds, spec.classes) if of_data is None else of_data


def lesson(seed: int, position: int, count: int) -> range:
    """Return the seeds of the images after the first `position` images of a run, which a resume continues."""
    first = FIRST_SEED + (seed * _BETWEEN_RUNS + position) % (FIRST_SEED - count)
    return range(first, first + count)


def load_teacher(path: Path, device: torch.device) -> Teacher:
    """Load a teacher; a checkpoint runs on `device`.

    Raises GantoolError for a file that is not a generator, or whose number of classes is not known.
    """
    if not path.exists():
        raise GantoolError(f"the teacher {path} is gone: put it back, a student learns from its images")
    if path.suffix == ".safetensors":
        return _checkpoint(path, device)
    engine = Engine.load(path)
    metadata = read_metadata(path) if identify(path) == "onnx" else Metadata({})
    if engine.spec.classes is None:
        raise GantoolError(
            f"{path} takes a label, and its number of classes is not known: give the checkpoint, or export it again"
        )
    config = None
    with suppress(ValueError, TypeError, KeyError, GantoolError):  # of another tool, or of a newer gantool
        # a graph of a 16-bit generator may make images of 8 bits
        config = replace(config_from_json(metadata.config), bits=engine.spec.bits)
    data = str(metadata.content.get("data", ""))
    return Teacher(
        path, engine.spec, config, data, None, lambda z, classes: engine.images(z=z, label=classes)
    )


def _checkpoint(path: Path, device: torch.device) -> Teacher:
    checkpoint = load_checkpoint(path)
    generator, metadata = checkpoint.generator.requires_grad_(False), checkpoint.metadata
    generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    config = generator.config
    spec = Spec(
        config.latent,
        *config.size,
        config.channels,
        bits=config.bits,
        distribution=config.distribution,
        classes=config.classes,
        class_names=metadata.class_names,
        class_counts=metadata.class_counts,
    )

    def generate(z: Latents, classes: Classes | None) -> Images:
        inputs = tuple(torch.from_numpy(each).to(device) for each in (z, classes) if each is not None)
        return to_levels(float_images(generator, inputs), config.bits)

    return Teacher(path, spec, config, metadata.data, generator, generate)


def sample(teacher: Teacher, count: int) -> ImageData:
    """Return the images of seeds 0 to `count` - 1 as the data of a run, for its metric and monitors."""
    seeds = range(count)
    z, classes = teacher.inputs(seeds)
    names = teacher.spec.class_names or tuple(map(str, range(teacher.spec.classes or 0)))
    labels_of_images = None if classes is None else Labels(classes, names, of_all=teacher.spec.class_counts)
    with task("images of the teacher", count, "images") as made:
        parts = []
        for start in range(0, count, BATCH):
            of = slice(start, start + BATCH)
            parts.append(teacher.generate(z[of], None if classes is None else classes[of]))
            made.update(min(start + BATCH, count))
    return ImageData(np.concatenate(parts), teacher.data or teacher.path.stem, (), labels_of_images)


def check_data(teacher: Teacher, data: str, found: Labels | None) -> None:
    """Raise UsageError if real images have other classes than the teacher."""
    spec, names = teacher.spec, found.classes if found else ()
    if not spec.classes:
        return
    if len(names) != spec.classes:
        raise UsageError(
            f"`data` {data} has {len(names)} classes: the teacher {teacher.path} has {spec.classes}"
        )
    for number, (name, wanted) in enumerate(zip(names, spec.class_names, strict=False)):
        if name != wanted:
            raise UsageError(
                f"`data` {data}: class {number} is {short(name)}; of the teacher {teacher.path}, it is "
                f"{short(wanted)}: give images with the teacher's classes, in the same order"
            )


def check_student(teacher: Teacher, network: NetworkConfig) -> None:
    """Raise UsageError if a network takes other inputs, or makes other images, than the teacher."""
    spec = teacher.spec
    for name, of_teacher, of_student in (
        ("latent", spec.latent, network.latent),
        ("distribution", spec.distribution, network.distribution),
        ("classes", spec.classes, network.classes),
        ("size", Size(spec.height, spec.width), network.size),
        ("channels", spec.channels, network.channels),
        ("bits", spec.bits, network.bits),
    ):
        if of_teacher != of_student:
            raise UsageError(f"`{name}` {of_student}: the teacher {teacher.path} has {of_teacher}")

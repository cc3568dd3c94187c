"""`gantool project`: find the latent vector whose image is nearest to a picture.

Gradient descent on z from several starts: those of a few thousand seeds whose images are nearest. After a quarter
of the steps, only the best go on. The loss compares pixels at several resolutions, so that a shape that lies a few
pixels off is still near, and at each the features of a fixed random convolution, so that edges count. The
projection of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix D) compares by VGG, whose weights are a
download.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantool.models import CHECKPOINT_NAME, Generator, NetworkConfig, load_checkpoint
from gantool.models.alpha import premultiplied, straight
from gantool.models.sampling import config_inputs
from gantool.models.threads import limit_threads
from gantool.runtime.classes import class_number, labels
from gantool.runtime.errors import UsageError
from gantool.runtime.files import atomic
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.images import sheet, to_uint8, visible
from gantool.runtime.process.terminal import message_of
from gantool.runtime.progress import Task, task
from gantool.runtime.spec import Images
from gantool.train.data.dataset import load_images
from gantool.train.data.decode import Into, fit, open_image
from gantool.train.data.deep import is_deep_colour
from gantool.train.distance import distance
from gantool.train.requests import ProjectOptions
from gantool.train.run_dir import named_or_newest, options_beside

SEEDS = range(4096)  # candidates for a start
STARTS, KEPT = 8, 2  # per picture; those that go on after a quarter of the steps
RATE, LAST_RATE = 0.1, 0.005  # of Adam, for z of standard deviation 1
_BATCH = 256


@dataclass(frozen=True)
class Projection:
    """The image of a generator that is nearest to one picture."""

    picture: Path
    z: NDArray[np.float32]  # [latent]
    label: int | None  # class of the image; None if the generator takes no label
    error: float  # mean difference from the picture, in grey levels of 255


@dataclass(frozen=True)
class Projected:
    """The result of `project`."""

    projections: tuple[Projection, ...]
    latents: Path  # z.npy, float32 [N, latent], for `gantool generate --z`
    pairs: Path  # a sheet: each picture beside its image

    def text(self) -> str:
        """Return a line for each picture, and the files."""
        width = max(len(str(each.picture)) for each in self.projections)
        lines = [
            f"{each.picture!s:<{width}}  differs by {each.error:.1f} of 255 grey levels in the mean"
            + ("" if each.label is None else f", class {each.label}")
            for each in self.projections
        ]
        return "\n".join(
            [*lines, f"latent vectors {self.latents}, pictures beside their images {self.pairs}"]
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `gantool project --json`."""
        pictures = [
            {"picture": str(each.picture), "error": round(each.error, 3), "label": each.label}
            for each in self.projections
        ]
        return {"pictures": pictures, "z": str(self.latents), "pairs": str(self.pairs)}


def project(options: ProjectOptions) -> Projected:
    """Find the z of each picture; write z.npy and pairs.png.

    Raises UsageError for a file that is not a picture or a class that the generator does not have, and GantoolError
    for a file that is not a checkpoint. Then it has written nothing.
    """
    limit_threads()
    named = named_or_newest(options.checkpoint, CHECKPOINT_NAME)
    checkpoint_path = named / CHECKPOINT_NAME if named.is_dir() else named
    checkpoint = load_checkpoint(checkpoint_path)
    generator, names = checkpoint.generator.requires_grad_(False), checkpoint.metadata.class_names
    config, given = generator.config, options.label
    if given is not None and not config.classes:
        raise UsageError(f"`label` {given} is for conditional generators: this one takes no label")
    label = class_number(given, names)
    if label is not None:
        labels([], config.classes, label, names)  # raises UsageError
    into = _as_in_training(checkpoint_path, config, options)
    pictures = np.stack([_read(path, into) for path in options.pictures])  # [N, H, W, C]
    search = _Search(generator, label)
    found, images = [], []
    for path, picture in zip(options.pictures, pictures, strict=True):
        z, of_class, image = search.nearest(picture, options.steps, path)
        error = float(np.abs(visible(image).astype(np.int16) - visible(picture)).mean())
        found.append(Projection(path, z, of_class, error))
        images.append(image)
    options.out.mkdir(parents=True, exist_ok=True)
    latents, beside = options.out / "z.npy", options.out / "pairs.png"
    with atomic(latents) as part, part.open("wb") as file:
        np.save(file, np.stack([each.z for each in found]))
    pairs = np.stack([pictures, np.stack(images)], 1).reshape(-1, *pictures.shape[1:])  # [N · 2, H, W, C]
    save_image(beside, sheet(pairs, columns=2))
    return Projected(tuple(found), latents, beside)


def _as_in_training(checkpoint: Path, config: NetworkConfig, options: ProjectOptions) -> Into:
    """Return how to convert pictures: as the run of the checkpoint converted its images, if it is in a run."""
    run = options_beside(checkpoint)
    if run is None:
        return Into(config.size, config.channels, options.background)
    levels = run.levels or ("0-65535" if config.bits == 16 else None)
    background = options.background or run.background
    into = Into(config.size, config.channels, background, fit=run.fit, levels=levels)
    if not run.data or not any(map(_has_16_bits, options.pictures)):  # the run of a student may have no data
        return into
    images = load_images(
        run.data, config.size, config.channels, run.background, run.fit, run.levels, config.bits
    )
    return images.facts.rescaled(into) if images.facts else into


def _has_16_bits(path: Path) -> bool:
    """Return whether a picture has 16 bits; reading it reports a file that is not a picture."""
    try:
        image = open_image(path.read_bytes())
    except Exception:  # for a damaged file, a decoder can raise any error
        return False
    return image.mode.startswith("I") or is_deep_colour(image)


def _read(path: Path, into: Into) -> Images:
    """Return a picture, uint8 [H, W, C]."""
    try:
        return fit(open_image(path.read_bytes()), into).pixels
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file") from error
    except Exception as error:  # for a damaged file, a decoder can raise any error
        raise UsageError(f"{path} is not a picture that can be read: {message_of(error)}") from error


class _Search:
    """The candidates of a generator, computed once for all pictures."""

    def __init__(self, generator: Generator, label: int | None) -> None:
        self.generator = generator
        z, *of_class = config_inputs(generator.config, SEEDS)  # [S, latent], [S] with classes
        if of_class and label is not None:
            of_class = [torch.full_like(of_class[0], label)]
        self.inputs = (z, *of_class)
        parts = zip(*(torch.split(each, _BATCH) for each in self.inputs), strict=True)
        with torch.no_grad():
            self.images = torch.cat([generator(*part) for part in parts])  # [S, C, H, W]

    def nearest(
        self, picture: Images, steps: int, path: Path
    ) -> tuple[NDArray[np.float32], int | None, Images]:
        """Return z, the class and the image nearest to a picture, uint8 [H, W, C]."""
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1  # [1, C, H, W]
        target = premultiplied(pixels)
        with torch.no_grad():
            parts = [distance(part, target) for part in torch.split(self.images, _BATCH)]
        nearest = torch.cat(parts).topk(STARTS, largest=False).indices
        z, *of_class = (each[nearest] for each in self.inputs)
        quarter = steps // 4
        with task(f"projecting {path.name}", steps, "steps") as done:
            z = self._descended(z, of_class, target, range(quarter), RATE, done)
            best = self._distances(z, of_class, target).topk(KEPT, largest=False).indices
            z, *of_class = (each[best] for each in (z, *of_class))
            z = self._descended(z, of_class, target, range(quarter, steps), LAST_RATE, done)
        best = self._distances(z, of_class, target).argmin()[None]  # [1]
        z, *of_class = (each[best] for each in (z, *of_class))
        with torch.no_grad():
            image = to_uint8(straight(self.generator(z, *of_class)).numpy())[0]
        return z[0].numpy(), int(of_class[0]) if of_class else None, image

    def _distances(self, z: Tensor, of_class: list[Tensor], target: Tensor) -> Tensor:
        with torch.no_grad():
            distances: Tensor = distance(self.generator(z, *of_class), target)  # [n]
        return distances

    def _descended(
        self, z: Tensor, of_class: list[Tensor], target: Tensor, steps: range, last_rate: float, done: Task
    ) -> Tensor:
        """Return z, [n, latent], after these steps. The rate goes from RATE to `last_rate` along a cosine."""
        z = z.clone().requires_grad_()
        optimizer = torch.optim.Adam([z], RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(len(steps), 1), last_rate)
        for step in steps:
            optimizer.zero_grad()
            distance(self.generator(z, *of_class), target).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            done.update(step + 1)
        return z.detach()

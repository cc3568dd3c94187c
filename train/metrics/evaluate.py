"""`gantool evaluate`: how good images are, from a run, a checkpoint, a graph, an engine, or a folder of images."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantool.models import CHECKPOINT_NAME, Generator, load_checkpoint
from gantool.models.threads import leave_room
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.generator import Generator as Engine
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.outputs.writer import grid, save_image
from gantool.runtime.process.cpus import Others
from gantool.runtime.seeds import labels, latents
from gantool.train.data.dataset import ImageData, load_images
from gantool.train.data.fashion_mnist import NAME as FASHION_MNIST
from gantool.train.data.sources import CONTAINERS
from gantool.train.metrics.extractors import Extractor, Vectors, find_extractor
from gantool.train.metrics.scores import scores
from gantool.train.options import read_options
from gantool.train.run_dir import OPTIONS_NAME

Pixels = NDArray[np.uint8]  # [N, H, W, C]

LEAST = 6  # vectors a side that scores can be made of
FEW = 10  # images for each number of a vector: with fewer, a Fréchet distance is too high by much
REAL = 10_000  # training images that are compared with
NEAREST = 12  # rows of nearest.png, and NEIGHBOURS training images in each
NEIGHBOURS = 4
_LOOK = 0.1  # seconds, of many, to see what other programs use
MISSING_CLASS = 0.1  # a class counts as missing with less than this part of its share of the data


def evaluate(
    source: Path, data: str | None, features: str, samples: int, out: Path | None, as_json: bool
) -> None:
    """Print a table, or JSON; write metric-<features>.jsonl and nearest.png.

    `source` is what `preflight.check_evaluation` returned.
    """
    others = Others()
    time.sleep(_LOOK)
    leave_room(others, _note)
    named, images, about = _images(source, samples)
    data = data or _data_of(named)
    size, channels = images.shape[1], images.shape[3]
    loaded = load_images(data, size, channels, _background_of(named), log=_note)
    extractor = find_extractor(features, loaded, _note)
    real = extractor.vectors(spread_images(loaded.images))
    found = measure(extractor, loaded, images, real)
    folder = out or (Path() if named.is_dir() else named.parent)
    value = {
        "source": str(source),
        "image": f"{size}×{size}×{channels}",
        **about,
        "data": loaded.name,
        "features": extractor.name,
        **found,
        "real_halves": _of_halves(real),
        "notes": list(_notes(extractor, images, loaded)),
    }
    append_metric(folder, extractor.name, value)
    sheet = folder / "nearest.png"
    save_image(sheet, nearest_sheet(extractor, loaded.images, images))
    print(json.dumps(value) if as_json else _table(value))
    _note(f"nearest training images beside generated ones: {sheet}")


def _of_halves(real: Vectors) -> dict[str, float]:
    """Compare one half of the data with the other: what scores of perfect images are, about; {} of too few."""
    if len(real) < 2 * LEAST:
        return {}
    return {name: round(value, 5) for name, value in asdict(scores(real[::2], real[1::2])).items()}


def append_metric(folder: Path, features: str, value: dict[str, Any]) -> None:
    """Add a line to metric-<features>.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"metric-{features}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**value, "time": round(time.time())}) + "\n")


def measure(
    extractor: Extractor, data: ImageData, images: Pixels, known: Vectors | None = None
) -> dict[str, Any]:
    """Compare images, uint8 [M, H, W, C], with those of the data; return the scores as JSON values.

    `known` are the vectors of `spread_images(data.images)`, where they are at hand.
    """
    real = spread_images(data.images)
    vectors = extractor.vectors(real) if known is None else known
    result: dict[str, Any] = {"samples": len(images), "real": len(real)}
    for name, value in asdict(scores(vectors, extractor.vectors(images))).items():
        result[name] = round(value, 5)
    if extractor.classes and data.labels:
        result["classes"] = _classes(data, extractor.classes(real), extractor.classes(images))
    return result


def _notes(extractor: Extractor, images: Pixels, data: ImageData) -> Iterator[str]:
    """Give what one has to know to read the scores."""
    dimensions = extractor.vectors(images[:1]).shape[1]
    for count, what in ((len(images), "generated images"), (len(data.images), "images of the data")):
        if count < min(FEW * dimensions, REAL):
            yield (
                f"{count:,} {what} are few for vectors of {dimensions:,} numbers: the Fréchet distance tends to "
                "be too high, compare it only with those of as many; the kernel distance does not depend on it"
            )
    if extractor.doubt:
        yield extractor.doubt


def spread_images(images: Pixels, count: int = REAL) -> Pixels:
    """Return at most `count` of the images, evenly spread."""
    return np.ascontiguousarray(
        images[np.linspace(0, len(images) - 1, min(count, len(images)), dtype=np.int64)]
    )


def _classes(data: ImageData, real: NDArray[np.int64], fake: NDArray[np.int64]) -> dict[str, Any]:
    """Return the share of each class among the images, and which classes are missing.

    Both shares are the classifier's opinion, so that its errors are on both sides.
    """
    assert data.labels
    count = len(data.labels.classes)
    real_share, fake_share = (np.bincount(each, minlength=count) / len(each) for each in (real, fake))
    missing = [
        name
        for name, of_real, of_fake in zip(data.labels.classes, real_share, fake_share, strict=True)
        if of_real > 0 and of_fake < MISSING_CLASS * of_real
    ]
    shares = dict(zip(data.labels.classes, fake_share.round(4).tolist(), strict=True))
    return {"shares": shares, "missing": missing}


def nearest_sheet(extractor: Extractor, real: Pixels, images: Pixels) -> Pixels:
    """Return a sheet: in each row a generated image, then the training images nearest to it."""
    chosen = spread_images(images, NEAREST)
    real = spread_images(real, 60_000)
    vectors, others = (torch.from_numpy(extractor.vectors(each)) for each in (chosen, real))
    near = (
        torch.cdist(vectors, others).topk(min(NEIGHBOURS, len(real)), largest=False).indices.numpy()
    )  # [12, 4]
    rows = np.concatenate([chosen[:, None], real[near]], axis=1)  # [12, 5, H, W, C]
    return grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])


def _images(source: Path, samples: int) -> tuple[Path, Pixels, dict[str, Any]]:
    """Return the file that images come from (or the folder they lie in), the images, and what is known of them."""
    if source.is_dir() and (source / CHECKPOINT_NAME).is_file():
        source = source / CHECKPOINT_NAME
    if source.suffix == ".safetensors":
        checkpoint = load_checkpoint(source)
        seen = checkpoint.metadata["images_seen"]
        return (
            source,
            sample(checkpoint.generator, range(samples)),
            {"kimg": seen / 1000},
        )
    if source.is_dir() or source.suffix.lower() in CONTAINERS:
        return source, _folder_images(source, samples), {}
    with Engine.load(source) as engine:
        return source, engine.images(range(samples)), {}


def sample(generator: Generator, seeds: range) -> Pixels:
    """Return the images of the seeds, uint8 [N, H, W, C], made on the device of the generator."""
    device = next(generator.parameters()).device
    network = generator.config
    parts = []
    with torch.no_grad():
        for start in range(0, len(seeds), 256):
            some = seeds[start : start + 256]
            z = torch.from_numpy(latents(some, network.latent, network.distribution)).to(
                device
            )  # [n, latent]
            label = torch.from_numpy(labels(some, network.classes)).to(device) if network.classes else None
            parts.append(to_uint8(generator(z, label).float().cpu().numpy()))
    return np.concatenate(parts)


def _folder_images(source: Path, samples: int) -> Pixels:
    """Return the images of a folder or zip, at the middle one of the sizes of its first hundred."""
    from gantool.train.data.sources import find_source

    with find_source(str(source), _note).open() as listing:
        sides = [min(image.size) for image in islice(_readable(listing.read, len(listing.names)), 100)]
    if not sides:
        raise GantoolError(f"{source} holds no checkpoint ({CHECKPOINT_NAME}) and no image that can be read")
    return spread_images(load_images(str(source), median_low(sides), log=_note).images, samples)


def _readable(read: Callable[[int], Any], count: int) -> Any:
    for index in range(count):
        try:
            yield read(index)
        except Exception:  # noqa: PERF203 (a damaged file can bring any error out of a decoder)
            continue


def _data_of(named: Path) -> str:
    """Return the data that the run of a checkpoint or a graph was trained on."""
    options = named.parent / OPTIONS_NAME
    if named.is_file() and options.is_file():
        return read_options(options).data
    if named.suffix == ".safetensors" and load_checkpoint(named).metadata["data"] == FASHION_MNIST:
        return FASHION_MNIST
    raise UsageError(f"{named} does not tell what it was trained on: give --data FOLDER (or fashion-mnist)")


def _background_of(named: Path) -> str:
    """Return what the transparent images of a run were laid on."""
    options = named.parent / OPTIONS_NAME
    return read_options(options).background if named.is_file() and options.is_file() else "white"


def _table(value: dict[str, Any]) -> str:
    known = {
        "fd": "Fréchet distance, 0 is best",
        "kid": "kernel distance, 0 is best",
        "precision": "share of generated images that lie among real ones",
        "recall": "share of real images that lie among generated ones",
        "diversity": "spread of generated images over that of real ones, 1 is as real",
        "copies": "share of generated images that all but repeat a training image",
    }
    lines = [
        f"{value['source']}: {value['samples']:,} images of {value['image']} against {value['real']:,} of "
        f"{value['data']}, by {value['features']}"
    ]
    halves = value["real_halves"]
    lines.append(
        f"  {'':<10} {'generated':>10} {'real':>10}   (real: half of the data against the other half)"
    )
    for name, text in known.items():
        of_real = f"{halves[name]:.4f}" if halves else ""
        lines.append(f"  {name:<10} {value[name]:>10.4f} {of_real:>10}   {text}")
    if classes := value.get("classes"):
        total = len(classes["shares"])
        missing = f"; missing: {', '.join(classes['missing'])}" if classes["missing"] else ""
        lines.append(
            f"  {'classes':<10} {total - len(classes['missing']):>10} {total:>10}   classes of the data that the "
            f"images show{missing}"
        )
    lines += [f"  note: {note}" for note in value["notes"]]
    return "\n".join(lines)


def _note(text: str) -> None:
    print(text, file=sys.stderr)

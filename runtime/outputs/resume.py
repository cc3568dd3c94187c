"""What an earlier run left to do: what is there is checked, not trusted."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.formats import FORMATS
from gantool.runtime.outputs.writer import (
    Shard,
    Target,
    Written,
    array_header,
    array_path,
    image_name,
    part_of,
    split,
)
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Images, Spec

# Grey levels, on average over an image: more than another provider or precision makes of the same seed.
_SAME = 3.0
_PARTS = 8  # of an array; the first image of each is looked at


def missing_seeds(target: Target, seeds: Iterable[int], spec: Spec, written: Written) -> Iterator[int]:
    """Yield the seeds whose file is not there or not whole; count the others as found."""
    rest = iter(seeds)
    with ThreadPoolExecutor(target.threads) as pool:
        while chunk := list(islice(rest, 256)):
            for seed, whole in zip(chunk, pool.map(lambda s: read(target, s, spec), chunk), strict=True):
                if whole is None:
                    yield seed
                else:
                    written.found += 1


def missing_shards(target: Target, seeds: Seeds, spec: Spec, written: Written) -> Iterator[Shard]:
    """Yield the shards that are not there, or hold anything but whole images of their seeds."""
    for shard in split(target, seeds):
        if first_of(target, shard, spec, every=True) is None:
            yield shard
        else:
            written.found += len(shard.seeds)


def missing_rows(target: Target, seeds: Seeds, spec: Spec, written: Written) -> Iterator[int]:
    """Yield the seeds whose images are not in the array; count the others as found."""
    path, written.found = _begun(target, len(seeds), spec)
    if path != array_path(target) and written.found == len(seeds) > 0:  # it ended just before it was renamed
        path.replace(array_path(target))
    return islice(seeds, written.found, None)


def _begun(target: Target, total: int, spec: Spec) -> tuple[Path, int]:
    """Return where images of an array are, and how many: the first ones in its part, or all in `images.npy`.

    Raises UsageError where arrays of another number of images, or of another size, are all that there is.
    """
    header, size = array_header(total, spec), spec.height * spec.width * spec.channels
    whole = array_path(target)
    others = []
    for path in (part_of(whole), whole):
        if not path.exists():
            continue
        with path.open("rb") as file:
            begin = file.read(len(header))
        images = path.stat().st_size - len(header)  # bytes
        if not header.startswith(begin):
            others.append(path)
        elif path != whole and size <= images <= total * size:
            return path, images // size
        elif path == whole and images == total * size:
            return path, total
    if others:
        raise UsageError(
            f"--resume: {others[0]} is no array of {total:,} images of {spec.height}×{spec.width}×{spec.channels}: "
            "choose another --out, or leave --resume out"
        )
    return part_of(whole), 0


def check_same(target: Target, seeds: Seeds, generator: Generator, **how: Any) -> None:
    """Make the first image that is there once more, of an array a few. Raises UsageError for another one.

    `how` is what `Generator.images` takes besides the seeds.
    """
    if target.format == "npy":
        spec = generator.spec
        path, count = _begun(target, len(seeds), spec)
        shape = (count, spec.height, spec.width, spec.channels)
        for index in (
            sorted({count * part // _PARTS for part in range(_PARTS)} | {count - 1}) if count else ()
        ):
            seed = seeds[index]
            images = np.memmap(path, np.uint8, "r", len(array_header(len(seeds), spec)), shape)
            _compare(images[index], generator.images([seed], **how)[0], f"image {index} of {path}")
        return
    seed, image = _first(target, seeds, generator.spec)
    if image is not None:
        encoded = io.BytesIO(target.encoding.encode(generator.images([seed], **how)[0]))
        again = target.encoding.decode(encoded, *image.shape)
        _compare(image, again, f"{image_name(seed, target.encoding)} in {target.folder}")


def _compare(there: Images, again: Images | None, name: str) -> None:
    """Compare two images, [H, W, C]."""
    if again is None or np.abs(there.astype(np.int16) - again).mean() > _SAME:
        raise UsageError(
            f"--resume: {name} is not the image that this command makes of that seed (another engine, --trunc or "
            "--class?): choose another --out, or leave --resume out"
        )


def read(target: Target, seed: int, spec: Spec) -> NDArray[Any] | None:
    """Return the image of a seed that is there, uint8 [H, W, C], or None."""
    path = target.folder / image_name(seed, target.encoding)
    return target.encoding.decode(path, spec.height, spec.width, spec.channels)


def first_of(target: Target, shard: Shard, spec: Spec, every: bool) -> NDArray[Any] | None:
    """Return the first image of a shard that is there, or None; with `every`, None if any is not whole."""
    first = None
    try:
        with tarfile.open(shard.path, "r:") as tar:
            for seed in shard.seeds:
                member = tar.next()
                if member is None or member.name != image_name(seed, target.encoding):
                    return None
                file = tar.extractfile(member)
                data = io.BytesIO(file.read() if file else b"")
                image = target.encoding.decode(data, spec.height, spec.width, spec.channels)
                if image is None:
                    return None
                first = image if first is None else first
                if not every:
                    return first
            if tar.next() is not None:
                return None
    except (OSError, tarfile.TarError, EOFError):
        return None
    return first


def _first(target: Target, seeds: Seeds, spec: Spec) -> tuple[int, Images | None]:
    """Return the first seed whose image is there and whole, and the image."""
    if target.format in FORMATS:
        for seed in seeds:
            if (image := read(target, seed, spec)) is not None:
                return seed, image
    else:
        for shard in split(target, seeds):
            if (image := first_of(target, shard, spec, every=False)) is not None:
                return shard.seeds[0], image
    return 0, None

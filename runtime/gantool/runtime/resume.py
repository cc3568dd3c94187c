"""What an earlier run left to do: what is there is checked, not trusted."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.errors import UsageError
from gantool.runtime.formats import FORMATS
from gantool.runtime.generator import Generator
from gantool.runtime.spec import Images, Spec
from gantool.runtime.writer import Shard, Target, Written, image_name, split

# Grey levels, on average over an image: more than another provider or precision makes of the same seed.
_SAME = 3.0


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


def missing_shards(target: Target, seeds: Iterable[int], spec: Spec, written: Written) -> Iterator[Shard]:
    """Yield the shards that are not there, or hold anything but whole images of their seeds."""
    for shard in split(target, seeds):
        if first_of(target, shard, spec, every=True) is None:
            yield shard
        else:
            written.found += len(shard.seeds)


def check_same(target: Target, seeds: Iterable[int], generator: Generator, **how: Any) -> None:
    """Make the first image that is there once more. Raises UsageError if it is not the same one.

    `how` is what `Generator.images` takes besides the seeds.
    """
    seed, there = _first(target, seeds, generator.spec)
    if there is None:
        return
    (image,) = generator.images([seed], **how)  # [H, W, C]
    again = target.encoding.decode(io.BytesIO(target.encoding.encode(image)), *image.shape)
    if again is None or np.abs(there.astype(np.int16) - again).mean() > _SAME:
        raise UsageError(
            f"--resume: {image_name(seed, target.encoding)} in {target.folder} is not the image that this command "
            "makes of that seed (another engine, --trunc or --class?): choose another --out, or leave --resume out"
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


def _first(target: Target, seeds: Iterable[int], spec: Spec) -> tuple[int, Images | None]:
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

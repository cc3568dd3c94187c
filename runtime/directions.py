"""Directions in the latent space: written by `gantool directions`, for `gantool generate --direction`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.process.terminal import printable, short

FILE = "directions.npz"
_MOST_BYTES = 1 << 28  # unpacked; a zip of a megabyte may hold a gigabyte


@dataclass(frozen=True, eq=False)
class Directions:
    """Named unit vectors. A step of 1 is a standard deviation of normal z along the direction."""

    names: tuple[str, ...]  # "0", "1", ... from the first layer; a name of the user's for groups of seeds
    vectors: NDArray[np.float32]  # [K, latent]
    strengths: NDArray[
        np.float32
    ]  # [K], how much a step changes the output of the first layer; NaN for groups

    def save(self, path: Path) -> None:
        """Write a .npz, whole or not at all."""
        with atomic(path) as part, part.open("wb") as file:
            np.savez(file, names=np.array(self.names), vectors=self.vectors, strengths=self.strengths)

    @classmethod
    def load(cls, path: Path) -> Directions:
        """Read a .npz. Raises GantoolError if it is missing or damaged."""
        if not path.is_file():
            raise GantoolError(f"there is no {path}: make it with gantool directions, or name another one")
        try:
            with path.open("rb") as file, _opened(file) as arrays:
                if sum(member.file_size for member in arrays.zip.infolist()) > _MOST_BYTES:
                    raise ValueError(f"unpacked, it has over {_MOST_BYTES:,} bytes")
                names, vectors, strengths = (arrays[name] for name in ("names", "vectors", "strengths"))
            with np.errstate(over="ignore"):
                vectors, strengths = vectors.astype(np.float32), strengths.astype(np.float32)
            found = cls(tuple(map(str, names.tolist())), vectors, strengths)
            if vectors.ndim != 2 or not len(names) == len(vectors) == len(strengths):
                raise ValueError(f"it has {len(names)} names and vectors {list(vectors.shape)}")
            if not np.isfinite(vectors).all() or np.isinf(strengths).any():
                raise ValueError("it holds NaN, infinity or a number beyond float32")
        except Exception as error:  # for a damaged file, NumPy can raise any error
            raise GantoolError(
                f"{path} does not hold directions ({short(str(error))}): make it again with gantool directions"
            ) from error
        return found

    def shift(self, steps: Iterable[tuple[str, float]], latent: int) -> NDArray[np.float32]:
        """Return what to add to z, float32 [latent], for pairs of the name of a direction and a number of steps.

        Raises UsageError for an unknown name, and for directions of another size than z.
        """
        size = self.vectors.shape[1]
        if size != latent:
            raise UsageError(
                f"`directions`: its vectors have {size:,} numbers, z of this engine has {latent:,}: make "
                "directions of this generator"
            )
        total = np.zeros(size, np.float32)
        for name, step in steps:
            if name not in self.names:
                known = ", ".join(map(printable, self.names))
                raise UsageError(f"`direction` {name}: the directions of this file are {known}")
            with np.errstate(over="ignore", invalid="ignore"):
                total += np.float32(step) * self.vectors[self.names.index(name)]
            if not np.isfinite(total).all():
                raise UsageError(
                    f"`direction` {name}={step:g}: the steps lead beyond float32: give smaller ones"
                )
        return total


def _opened(file: IO[bytes]) -> Any:
    """Return the arrays in a .npz, none of them read yet."""
    if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
        raise ValueError("it is an .npy, one array; an .npz has names, vectors and strengths")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def parse_step(text: str) -> tuple[str, float]:
    """Parse `0=1.5` into the name of a direction and a number of steps. Raises UsageError for anything else."""
    name, equals, number = text.rpartition("=")
    try:
        step = float(number)
    except ValueError:
        equals, step = "", 0.0
    if not np.isfinite(step):
        raise UsageError(f"`direction` {text}: give a finite number of steps, usually from -3 to 3")
    if not equals or not name:
        raise UsageError(f"`direction` {text}: write the direction and the steps, as in 0=1.5 or smile=-2")
    return name, step

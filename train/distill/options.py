"""The options of `gantool distill`."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, between, check, positive
from gantool.runtime.process.terminal import short

# The training options that differ from the defaults. Tried on Fashion-MNIST with a sixteenth of the multiply-adds,
# three minutes on one core: without pruning, the distance was 14.8 in place of 12.5; with the GAN loss at its full
# weight, 12.5 in place of 11.7. A discriminator as wide as the teacher is too slow: 15.9. The mean difference of
# pixels gave 14.8, its square 16.7.
RECIPE: dict[str, Any] = {
    "batch": 16,
    "lr": 0.0008,
    "r1": 0.5,
    "lazy": 8,
    "ema_kimg": 10.0,
    "adversarial": 0.25,
}
# Those of a student that is its teacher in INT8. It begins near its goal: small steps that end at 0 keep it there.
QUANTIZED: dict[str, Any] = {
    **RECIPE,
    "quantize": "int8",
    "precision": "fp32",
    "batch": 64,
    "lr": 1e-5,
    "decay": True,
    "ema_rampup": 0.05,
    "adversarial": 0.0,
}
# The options of a training run that `gantool distill` takes too.
TAKEN = (
    *("kimg", "minutes", "batch", "lr", "lr_d", "ema_kimg", "adversarial", "regression_kimg", "prune"),
    *("seed", "device", "precision", "tick", "snap", "metric_every", "tensorboard"),
    *("outdir", "devices", "nodes", "autotune", "dry_run"),
)

_COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BYTES = {f"{unit}B": count for unit, count in _COUNTS.items()}
BYTES_PER_WEIGHT = 4  # in FP32, as a checkpoint holds them


def _number(value: Any, name: str, units: Mapping[str, int], example: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?|\.\d{1,12})\s?([A-Za-z]*)", str(value).strip(), re.ASCII)
    if found is None or found[2] not in units:
        raise UsageError(f"`{name}` {short(value)}: give {example}")
    return float(found[1]) * units[found[2]]


_MACS = "a share of the teacher's up to 1, as in 0.25, or a number from 1k, as in 20M"


def _macs(value: float) -> str:
    return "" if 0 < value <= 1 or 1000 <= value < math.inf else f"give {_MACS}"


def parse_macs(value: Any) -> float:
    """Return a share of the teacher's multiply-adds, or their number. Raises UsageError."""
    return _number(value, "macs", _COUNTS, _MACS)


def parse_params(value: Any) -> float:
    """Return a number of weights from a number or from bytes. Raises UsageError."""
    example = "a number of weights, as in 250k, or their size in FP32, as in 1MB"
    if str(value).strip().endswith("B"):
        return _number(value, "params", _BYTES, example) / BYTES_PER_WEIGHT
    return _number(value, "params", _COUNTS, example)


def parse_elastic(value: Any) -> tuple[float, ...]:
    """Return the shares below 1, the largest first. Raises UsageError."""
    try:
        given = value if isinstance(value, (list, tuple)) else str(value).split(",")
        shares = sorted({float(share) for share in given} | {1.0}, reverse=True)
    except ValueError:
        shares = []
    if len(shares) < 2 or not all(0 < share <= 1 for share in shares):
        raise UsageError(f"`elastic` {short(value)}: give shares of the width, as in 1,0.5,0.25")
    return tuple(shares[1:])


@dataclass(frozen=True)
class DistillOptions:
    """The teacher, and the size of its student. Raises UsageError for invalid values."""

    teacher: Annotated[
        Path | None,
        Flag(
            "a run or checkpoint, or any graph or plan that gantool runs",
            metavar="[RUN|CHECKPOINT|GRAPH.onnx|PLAN]",
            shown="newest run",
            argument=True,
        ),
    ] = None
    width: Annotated[
        int | None,
        Flag("channels of the student's last hidden layer", group="Student", check=between(1, 8192)),
    ] = None
    macs: Annotated[
        float | None,
        Flag(
            "multiply-adds of an image: a share of the teacher's, as in 0.25, or a number, as in 20M",
            group="Student",
            metavar="SHARE|N",
            parse=parse_macs,
            check=_macs,
            shown="0.25, of a teacher that gantool trained",
        ),
    ] = None
    params: Annotated[
        float | None,
        Flag(
            "weights: a number, as in 250k, or their size in FP32, as in 1MB",
            group="Student",
            metavar="N|SIZE",
            parse=parse_params,
            check=positive,
        ),
    ] = None
    elastic: Annotated[
        tuple[float, ...],
        Flag(
            "train several widths at once, as shares of the student's; gantool export --slice takes one",
            group="Student",
            metavar="1,SHARE,...",
            parse=parse_elastic,
        ),
    ] = ()
    quantize: Annotated[
        Literal["int8"] | None,
        Flag(
            "make the student its teacher in INT8: train with the rounding of gantool export --int8",
            group="Student",
        ),
    ] = None
    data: Annotated[
        str | None,
        Flag(
            "real images for the discriminator: a folder, .zip, .tar or .npy, or fashion-mnist",
            group="Student",
            metavar="SOURCE",
            shown="images of the teacher",
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)
        given = [name for name in ("width", "macs", "params") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"`{'` and `'.join(given)}` each set the size of the student: give one of them")
        given += ["elastic"] if self.elastic else []
        if self.quantize and given:
            raise UsageError(
                f"`quantize` keeps the network of the teacher, and `{given[0]}` changes it: distil first, then "
                "quantize the student"
            )

"""Everything that decides a training run; saved as `training_options.json` and shown by --dry-run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gantool.models import NetworkConfig, config_from_json
from gantool.runtime.errors import GantoolError, UsageError
from gantool.train.data.decode import colour

Augmentation = Literal["none", "diff", "ada"]
Penalty = Literal["r1", "r2", "gp"]
Optimizer = Literal["adam", "sgd"]
Precision = Literal["fp32", "bf16", "fp16"]
MAX_BATCH = 65536
MIN_SAMPLES = 16  # images that `gantool evaluate` compares

# Each loss, and the penalties on the discriminator's gradient where a run gives no others; see losses.py.
PENALTIES: dict[str, dict[Penalty, float]] = {
    "non-saturating": {},
    "hinge": {},
    "wgan-gp": {"gp": 10.0},
    "relativistic": {"r1": 1.0, "r2": 1.0},
}


@dataclass(frozen=True)
class TrainingOptions:
    """One run. Raises UsageError for values that cannot be trained with."""

    network: NetworkConfig
    data: str  # "fashion-mnist", or the absolute path of a folder or zip
    preset: str = ""  # whose values were changed by flags
    kimg: float = 300.0  # thousands of real images shown, then stop
    minutes: float | None = None  # or stop after this time, whichever comes first
    batch: int = 32
    optimizer: Optimizer = "adam"  # adam with betas 0.5, 0.999, or plain sgd
    lr: float = 0.0002
    lr_d: float | None = None  # of the discriminator, where it is another
    warmup_kimg: float = 0.0  # in which the learning rates rise from 0
    accumulate: int = 1  # parts of a batch that are computed one after the other
    loss: str = "non-saturating"  # a key of PENALTIES
    r1: float | None = None  # penalties; None is the one of the loss
    r2: float | None = None
    gp: float | None = None
    lazy: int = 1  # steps between penalties, which then weigh as much more
    augment: Augmentation = "none"
    instance_noise: float = 0.0  # standard deviation, on all that the discriminator sees
    ema_kimg: float = 5.0  # half-life of the generator's moving average
    mirror: bool = False  # flip images left to right at random
    seed: int = 0
    device: str = "auto"
    tick: float = 4.0  # kimg between lines of progress
    snap: int = 10  # ticks between checkpoints
    metric_every: float | None = None  # kimg between measurements of the Fréchet distance
    tensorboard: bool = False
    # how a step is computed; the autotuner chooses what is not given
    precision: Precision = "fp32"  # of the networks; weights, losses and penalties are in fp32
    channels_last: bool = True
    compile: bool = False
    threads: int | None = None  # of a CPU; None is all
    # fewer or more, up to so many, as other programs allow; None keeps `threads`
    threads_up_to: int | None = None
    background: str = "white"  # what transparent images are laid on: white, black or #rrggbb

    def __post_init__(self) -> None:
        for name, allowed in (
            ("optimizer", get_args(Optimizer)),
            ("precision", get_args(Precision)),
            ("loss", tuple(PENALTIES)),
            ("augment", get_args(Augmentation)),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(unknown(f"--{name}", str(getattr(self, name)), allowed))
        colour(self.background)
        if not 2 <= self.batch <= MAX_BATCH:  # BatchNorm needs two
            raise UsageError(f"--batch {self.batch}: give a whole number from 2 to {MAX_BATCH}")
        for name in (
            "kimg",
            "minutes",
            "lr",
            "lr_d",
            "tick",
            "snap",
            "lazy",
            "accumulate",
            "metric_every",
            "threads",
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {value}: give a number over 0")
        for name in ("ema_kimg", "warmup_kimg", "instance_noise", "r1", "r2", "gp"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {value}: give 0 or more")
        if self.accumulate > self.batch // 2:
            raise UsageError(
                f"--accumulate {self.accumulate}: each part of a batch of {self.batch} needs two images"
            )
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed {self.seed}: give a whole number from 0")

    @property
    def penalized(self) -> bool:
        """Whether the loss has a penalty on gradients."""
        return any(map(self.penalty, get_args(Penalty)))

    def penalty(self, name: Penalty) -> float:
        """Return the weight of a penalty: its own, or the one that the loss implies."""
        own: float | None = getattr(self, name)
        return PENALTIES[self.loss].get(name, 0.0) if own is None else own

    def resolved(self) -> TrainingOptions:
        """Return the options with what the others imply: the penalties of the loss, the discriminator's rate."""
        penalties: dict[str, Any] = {name: self.penalty(name) for name in get_args(Penalty)}
        return replace(self, **penalties, lr_d=self.lr if self.lr_d is None else self.lr_d)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def unknown(flag: str, value: str, known: Iterable[str]) -> str:
    """Return the message for a value that is none of the known ones, with the nearest of them."""
    near = get_close_matches(value.lower(), list(known), 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{flag} {value}: {hint}choose {', '.join(known)}"


# What a preset changes besides the network.
TRAINING: dict[str, dict[str, Any]] = {
    # many small steps: on a CPU quality comes sooner than with large batches, and the average takes out the noise;
    # without R1 the discriminator soon tells all images apart, and the distance stays four times as large
    "dcgan32": {"batch": 16, "lr": 0.0008, "r1": 0.5, "lazy": 8, "ema_kimg": 10.0},
    "r3gan32": {"loss": "relativistic"},
    "r3gan64": {"loss": "relativistic"},
    "resnet32": {"loss": "hinge"},
    "resnet64": {"loss": "hinge"},
    # little data: augmentation, a slower average, and the whole budget on few images
    "small": {"augment": "ada", "mirror": True, "lr": 0.0004, "kimg": 2000.0, "ema_kimg": 20.0},
}

# From how many kimg on images can be recognized, about. Measured for dcgan32 alone (Fashion-MNIST: soft garments
# after 13, good ones after 40 to 90); of small it is known that 19 are far too few, and that 1,150 from 590 icons
# bring no alarm. The others follow these by size and depth: orders of magnitude.
RECOGNIZABLE_KIMG = {
    "dcgan16": 30,
    "dcgan28": 50,
    "dcgan32": 50,
    "dcgan5-32": 100,
    "dcgan64": 300,
    "dcgan128": 1000,
    "dcgan256": 2000,
    "small": 1000,
    "resnet32": 200,
    "resnet64": 500,
    "r3gan32": 200,
    "r3gan64": 500,
}


def read_options(path: Path) -> TrainingOptions:
    """Read a `training_options.json`. Raises GantoolError for one that `to_json` did not write."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        hints = get_type_hints(TrainingOptions)
        for name in values.keys() & hints.keys() - {"network"}:
            _check_type(name, values[name], hints[name])
        return TrainingOptions(**{**values, "network": config_from_json(values["network"])})
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError, UsageError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GantoolError(
            f"{path} does not hold the options of a run ({reason}): restore it, or start a new run: gantool train"
        ) from error


def _check_type(name: str, value: object, hint: Any) -> None:
    """Raise TypeError for a value that its field cannot have; JSON has one kind of number."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    plain = tuple(str if get_origin(kind) is Literal else kind for kind in kinds)
    fits = isinstance(value, (*plain, int) if float in plain else plain)
    if not fits or (isinstance(value, bool) and bool not in plain):
        raise TypeError(f"{name} is {value!r}")

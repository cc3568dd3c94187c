"""Everything that decides a training run; saved as `training_options.json` and shown by --dry-run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gantool.models import NetworkConfig, config_from_json
from gantool.runtime.errors import GantoolError, UsageError

Optimizer = Literal["adam", "sgd"]
MAX_BATCH = 65536


@dataclass(frozen=True)
class TrainingOptions:
    """One run. Raises UsageError for values that cannot be trained with."""

    network: NetworkConfig
    data: str  # "fashion-mnist", or the absolute path of a folder or zip
    kimg: float = 300.0  # thousands of real images shown, then stop
    minutes: float | None = None  # or stop after this time, whichever comes first
    batch: int = 32
    optimizer: Optimizer = "adam"  # adam with betas 0.5, 0.999, or plain sgd
    lr: float = 0.0002
    ema_kimg: float = 5.0  # half-life of the generator's moving average
    mirror: bool = False  # flip images left to right at random
    seed: int = 0
    device: str = "auto"
    tick: float = 4.0  # kimg between lines of progress
    snap: int = 10  # ticks between checkpoints

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(Optimizer):
            raise UsageError(f"--optimizer {self.optimizer}: choose {' or '.join(get_args(Optimizer))}")
        if not 2 <= self.batch <= MAX_BATCH:  # BatchNorm needs two
            raise UsageError(f"--batch {self.batch}: give a whole number from 2 to {MAX_BATCH}")
        for flag, value in (
            ("kimg", self.kimg),
            ("minutes", self.minutes),
            ("lr", self.lr),
            ("tick", self.tick),
            ("snap", self.snap),
        ):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{flag} {value}: give a number over 0")
        if not 0 <= self.ema_kimg < math.inf:
            raise UsageError(f"--ema-kimg {self.ema_kimg}: give 0 or more")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed {self.seed}: give a whole number from 0")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


def read_options(path: Path) -> TrainingOptions:
    """Read a `training_options.json`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return TrainingOptions(**{**values, "network": config_from_json(values["network"])})
    except (OSError, ValueError, TypeError, KeyError, UsageError) as error:
        raise GantoolError(f"{path} cannot be resumed from: {error}") from error

"""What `gantool export` can be asked for, checked before any work is done; neither torch nor onnx here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from gantool.runtime.artifacts.recipe import Low
from gantool.runtime.errors import UsageError
from gantool.runtime.seeds import DISTRIBUTIONS
from gantool.runtime.spec import Images

Calibration = Literal["minmax", "percentile", "entropy"]
Lowering = Literal["none", "subpixel", "phases", "phases-stack", "cpu", "dla", "dla-onehot"]
LOWERINGS: tuple[Lowering, ...] = get_args(Lowering)

OPSETS = range(17, 24)
DEFAULT_OPSET = 17  # the newest that TensorRT 8.6 (JetPack 6.0) reads
NATIVE_OPSET = 18  # what torch exports to; others are made from it
BF16_OPSET = 22  # the first whose convolutions take bfloat16

# Range of the images of a generator from elsewhere: factor and shift that bring them to [-1, 1].
RANGES = {"-1,1": (1.0, 0.0), "0,1": (2.0, -1.0), "0,255": (1 / 127.5, -1.0)}


@dataclass(frozen=True)
class Foreign:
    """What the file of a generator from elsewhere does not tell."""

    origin: str | None = None  # pytorch-dcgan, or package.module:function
    weights: Path | None = None  # FILE or FILE:KEY, for a function
    latent: int | None = None
    classes: int = 0
    distribution: str = "normal"  # of z
    values: str = "-1,1"  # range of the images that it makes; a key of RANGES
    clamp: bool = False  # cut off what lies outside

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise UsageError(f"--distribution {self.distribution}: choose {', '.join(DISTRIBUTIONS)}")
        if self.values not in RANGES:
            raise UsageError(f"--range {self.values}: choose {', '.join(RANGES)}")
        if self.classes < 0 or (self.latent is not None and self.latent < 1):
            raise UsageError("--classes and --latent are counts: give whole numbers from 1")

    @property
    def scale(self) -> tuple[float, float]:
        """Return the factor and the shift that bring the images to [-1, 1]."""
        return RANGES[self.values]


@dataclass(frozen=True)
class ToData:
    """How far images are from a data set."""

    data: str
    features: str  # what they are compared by
    of: Callable[[Images], float]  # of images, uint8 [M, H, W, C]: their Fréchet distance to the data


@dataclass(frozen=True)
class Precision:
    """What the graph is to compute in beside FP32."""

    low: Low | None = None
    int8: bool = False
    int8_ends: bool = False  # the first and the last layer too
    calibration: str = "minmax"
    keep_fp32: tuple[str, ...] = ()  # patterns of node names
    recipe: Path | None = None  # in place of all of these
    min_psnr: float | None = None  # dB; None: by precision

    def __post_init__(self) -> None:
        if self.calibration not in get_args(Calibration):
            raise UsageError(f"--calibration {self.calibration}: choose {' or '.join(get_args(Calibration))}")
        if self.recipe and (self.low or self.int8 or self.keep_fp32):
            raise UsageError(
                "--recipe says what each node computes in: leave out --fp16, --bf16, --int8, --keep-fp32"
            )
        if self.int8_ends and not self.int8:
            raise UsageError("--int8-ends goes with --int8")
        if self.keep_fp32 and not self.asked:
            raise UsageError("--keep-fp32 goes with --fp16, --bf16 or --int8: without them all is FP32")
        if self.min_psnr is not None and not (self.asked and 0 < self.min_psnr < 200):
            raise UsageError("--min-psnr is in dB, as 45, and goes with --fp16, --bf16, --int8 or --recipe")

    @property
    def asked(self) -> bool:
        """Whether anything but FP32 was asked for."""
        return self.int8 or self.low is not None or self.recipe is not None


@dataclass(frozen=True)
class ExportOptions:
    """What to write. None stands for a flag that was not given."""

    base: Path | None = None  # files are BASE.onnx, BASE.fp16.onnx, BASE.plan …
    engine: str = "auto"
    opset: int | None = None
    output: str | None = None
    lowering: str | None = None
    precision: Precision = field(default_factory=Precision)
    foreign: Foreign = field(default_factory=Foreign)
    triton: Path | None = None  # REPO or REPO/NAME
    bundle: Path | None = None  # a .tar
    to_data: ToData | None = None
    overwrite: bool = False  # a plan of another precision

    def __post_init__(self) -> None:
        if self.opset is not None and self.opset not in OPSETS:
            raise UsageError(f"--opset {self.opset}: choose {OPSETS[0]} to {OPSETS[-1]}")
        if self.opset is not None and self.precision.low == "bf16" and self.opset < BF16_OPSET:
            raise UsageError(
                f"--opset {self.opset} has no convolution in bfloat16: choose {BF16_OPSET} or newer"
            )
        if self.output not in (None, "uint8", "float"):
            raise UsageError(f"--output {self.output}: choose uint8 or float")
        if self.lowering not in (None, "auto", *LOWERINGS):
            raise UsageError(f"--lowering {self.lowering}: choose auto, {', '.join(LOWERINGS)}")
        if self.bundle is not None and self.bundle.suffix.lower() != ".tar":
            raise UsageError(f"--bundle {self.bundle}: give a name that ends in .tar, as in g.tar")

"""The options of `gantool export`, checked before any work is done. Needs neither torch nor onnx."""

# No `from __future__ import annotations`: Python would compile the flags' annotations at every start.

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from gantool.models.config import Distribution
from gantool.runtime.authorship import Authorship
from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, check, positive

if TYPE_CHECKING:
    from gantool.runtime.spec import Images

Low = Literal["fp16", "bf16"]
Calibration = Literal["minmax", "percentile", "entropy"]
Lowering = Literal["none", "subpixel", "phases", "phases-stack", "cpu", "dla", "dla-onehot"]
LOWERINGS: tuple[Lowering, ...] = get_args(Lowering)
Output = Literal["uint8", "uint16", "float"]
Engine = Literal["auto", "tensorrt", "rtx", "none"]

OPSETS = range(17, 24)
DEFAULT_OPSET = 17  # the newest that TensorRT 8.6 (JetPack 6.0) reads
NATIVE_OPSET = 18  # torch exports to it; gantool converts to older ones
BF16_OPSET = 22  # the first whose convolutions take bfloat16

# By the range of a generator's images: the factor and the shift that scale them to [-1, 1].
RANGES = {"-1,1": (1.0, 0.0), "0,1": (2.0, -1.0), "0,255": (1 / 127.5, -1.0)}


_ELSEWHERE = "Generators from elsewhere"
_PRECISION = "Precision"
_GRAPH = "Graph"


@dataclass(frozen=True)
class Foreign:
    """A generator from elsewhere: its origin, and what its file does not say."""

    origin: Annotated[
        str | None,
        Flag(
            "a PyTorch generator from elsewhere: pytorch-dcgan, or package.module:function that makes it",
            "--from",
            group=_ELSEWHERE,
            metavar="SOURCE",
        ),
    ] = None
    weights: Annotated[
        Path | None,
        Flag(
            "its weights for --from package.module:function, .pth or .safetensors; KEY if they are nested",
            group=_ELSEWHERE,
            metavar="FILE[:KEY]",
        ),
    ] = None
    latent: Annotated[int | None, Flag("size of its latent vector z", group=_ELSEWHERE)] = None
    classes: Annotated[int, Flag("number of its classes; 0: not conditional", group=_ELSEWHERE)] = 0
    distribution: Annotated[Distribution, Flag("distribution of its z", group=_ELSEWHERE)] = "normal"
    values: Annotated[
        str,
        Flag(
            "range of its images, {choices}",
            "--range",
            group=_ELSEWHERE,
            metavar="LOW,HIGH",
            choices=tuple(RANGES),
        ),
    ] = "-1,1"
    clamp: Annotated[bool, Flag("clip its images to --range", group=_ELSEWHERE)] = False

    def __post_init__(self) -> None:
        check(self)
        if self.classes < 0 or (self.latent is not None and self.latent < 1):
            raise UsageError("`classes` and `latent` are counts: give whole numbers from 1")

    @property
    def scale(self) -> tuple[float, float]:
        """The factor and the shift that scale the images to [-1, 1]."""
        return RANGES[self.values]


@dataclass(frozen=True)
class DatasetDistance:
    """The measure of a Fréchet distance to a data set."""

    data: str
    features: str  # the feature extractor
    measure: "Callable[[Images], float]"  # of images, uint8 [M, H, W, C]


@dataclass(frozen=True)
class Precision:
    """The precision of the graph. The default is FP32."""

    low: Low | None = None
    int8: Annotated[
        bool, Flag("compute in INT8; with --fp16, the other layers in FP16", group=_PRECISION)
    ] = False
    int8_ends: Annotated[bool, Flag("INT8 also in the first and the last layer", group=_PRECISION)] = False
    calibration: Annotated[
        Calibration, Flag("how --int8 calibrates the ranges of activations", group=_PRECISION)
    ] = "minmax"
    keep_fp32: Annotated[
        tuple[str, ...],
        Flag("nodes that stay in FP32, as in 'gemm*'; repeatable", group=_PRECISION, metavar="PATTERN"),
    ] = ()
    # excludes the fields above
    recipe: Annotated[
        Path | None,
        Flag(
            "use the precisions of another export: its graph, or its plan's .json",
            group=_PRECISION,
            metavar="FILE",
        ),
    ] = None
    min_psnr: Annotated[
        float | None,
        Flag(
            "dB that the worst image must reach against FP32",
            group=_PRECISION,
            shown="FP16 40, BF16 30, INT8 30",
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)
        if self.recipe and (self.low or self.int8 or self.keep_fp32):
            raise UsageError(
                "`recipe` sets the precision of each node: leave out `fp16`, `bf16`, `int8`, `keep_fp32`"
            )
        if self.int8_ends and not self.int8:
            raise UsageError("`int8_ends` needs `int8`: add it")
        if self.keep_fp32 and not self.requested:
            raise UsageError("`keep_fp32` needs `fp16`, `bf16` or `int8`: without them everything is in FP32")
        if self.min_psnr is not None and not (self.requested and 0 < self.min_psnr < 200):
            raise UsageError("`min_psnr` is in dB, as in 45, and needs `fp16`, `bf16`, `int8` or `recipe`")

    @property
    def requested(self) -> bool:
        """Whether a precision other than FP32 was requested."""
        return self.int8 or self.low is not None or self.recipe is not None


def _opset(opset: int) -> str:
    return "" if opset in OPSETS else f"choose {OPSETS[0]} to {OPSETS[-1]}"


def _tar(path: Path) -> str:
    return "" if path.suffix.lower() == ".tar" else "give a name that ends in .tar, as in g.tar"


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export. None stands for an option that was not given."""

    base: Annotated[
        Path | None,
        Flag("write BASE.onnx, BASE.plan ...", "-o --out", group="Output", metavar="BASE", shown="g"),
    ] = None
    engine: Annotated[
        Engine, Flag("engine to build: {choices}; auto uses the installed library", group="Engine")
    ] = "auto"
    opset: Annotated[
        int | None,
        Flag(
            f"ONNX opset, {OPSETS[0]} to {OPSETS[-1]}",
            group=_GRAPH,
            check=_opset,
            shown=f"{DEFAULT_OPSET}, or {BF16_OPSET} with --bf16",
        ),
    ] = None
    output: Annotated[
        Output | None,
        Flag(
            "type of the images; uint16 for grey levels of 16 bits",
            group=_GRAPH,
            shown="uint8, or uint16 for 16 bits",
        ),
    ] = None
    lowering: Annotated[
        Literal["auto", Lowering] | None,
        Flag(
            "exact rewrite of transposed convolutions: {choices}; auto times them and takes the fastest",
            group=_GRAPH,
            shown="none",
        ),
    ] = None
    soft_labels: Annotated[
        bool,
        Flag(
            "make the label the shares of the classes, float32 [N, classes], so that classes can be mixed",
            group=_GRAPH,
        ),
    ] = False
    slice: Annotated[
        float | None,
        Flag(
            "take this share of the width of an elastic generator (see gantool distill --elastic), as in 0.5",
            group=_GRAPH,
            metavar="SHARE",
            check=positive,
            shown="all of it",
        ),
    ] = None
    precision: Precision = field(default_factory=Precision)
    foreign: Foreign = field(default_factory=Foreign)
    authorship: Authorship = field(default_factory=Authorship)
    triton: Annotated[
        Path | None, Flag("also write a model repository for Triton", group="Output", metavar="REPO[/NAME]")
    ] = None
    bundle: Annotated[
        Path | None,
        Flag(
            "also write one file for a device, with the graph and golden images",
            group="Output",
            metavar="FILE.tar",
            check=_tar,
        ),
    ] = None
    web: Annotated[
        bool,
        Flag("also write BASE.html, a page that makes images in any browser, offline", group="Output"),
    ] = False
    web_runtime: Annotated[
        Path | None,
        Flag(
            "onnxruntime-web for --web, npm's .tgz or its folder",
            group="Output",
            metavar="TGZ|FOLDER",
            shown="cache, or npm",
        ),
    ] = None
    directions: Annotated[
        Path | None,
        Flag("sliders for --web: a file of gantool directions", group="Output", metavar="FILE.npz"),
    ] = None
    card: Annotated[
        bool,
        Flag(
            "also write BASE.md, a model card with questions for you; a card that you edited is not replaced",
            group="Provenance",
        ),
    ] = False
    sign: Annotated[
        Path | None,
        Flag(
            "also write BASE.sig, which signs the files with this private key",
            group="Provenance",
            metavar="KEY.pem",
        ),
    ] = None
    to_data: DatasetDistance | None = None
    overwrite: Annotated[
        bool,
        Flag("also replace a plan of another precision, and a model card that was edited", group="Output"),
    ] = False

    def __post_init__(self) -> None:
        check(self)
        if self.opset is not None and self.precision.low == "bf16" and self.opset < BF16_OPSET:
            raise UsageError(
                f"`opset` {self.opset} has no bfloat16 convolution: choose {BF16_OPSET} or newer"
            )
        if not self.web and (self.web_runtime or self.directions):
            flag = "directions" if self.directions else "web_runtime"
            raise UsageError(f"`{flag}` is for the page of `web`: add it")
        folder = (self.base or Path("g")).parent
        if self.sign and self.bundle and self.bundle.parent.resolve() != folder.resolve():
            raise UsageError(f"`sign` signs files of one folder: write the `bundle` to {folder} too")


@dataclass(frozen=True)
class ExportRequest:
    """The source and the flags of `gantool export` besides ExportOptions and BuildOptions."""

    source: Annotated[
        Path | None,
        Flag(
            "a checkpoint, a generator's .onnx, or a bundle",
            metavar="[CHECKPOINT|GRAPH.onnx|BUNDLE.tar]",
            shown="newest run",
            argument=True,
        ),
    ] = None
    fp16: Annotated[bool, Flag("compute in FP16", "--fp16 --half", group=_PRECISION)] = False
    bf16: Annotated[bool, Flag("compute in BF16", group=_PRECISION)] = False
    data: Annotated[
        str | None,
        Flag(
            "also measure the Fréchet distance of FP32 and the lower precision to these images",
            group="Evaluation",
            metavar="SOURCE",
        ),
    ] = None
    features: Annotated[
        str | None,
        Flag(
            "feature extractor for --data, as in gantool evaluate",
            group="Evaluation",
            metavar="EXTRACTOR",
            shown="classifier",
        ),
    ] = None
    config: Annotated[Path | None, Flag("options from a .yaml or .json; flags win", group="Other")] = None

    def __post_init__(self) -> None:
        if self.fp16 and self.bf16:
            raise UsageError("`fp16` and `bf16` exclude each other: choose one")
        if self.features is not None and self.data is None:
            raise UsageError("`features` needs `data`: add it")

    @property
    def low(self) -> Low | None:
        """The requested float type below FP32, else None."""
        return "fp16" if self.fp16 else "bf16" if self.bf16 else None

"""The options of a training run, which `training_options.json` and --dry-run show, and of its launch."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from gantool.models.config import NetworkConfig, config_from_json, parse_size
from gantool.models.presets import DEFAULT_PRESET, PRESETS
from gantool.runtime.colours import not_a_colour
from gantool.runtime.config import typed
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.flags import (
    Flag,
    Given,
    between,
    check,
    check_given,
    nonnegative,
    options,
    positive,
)
from gantool.runtime.process.terminal import message_of
from gantool.runtime.runs import RUNS
from gantool.train.data.fitting import Fit
from gantool.train.data.levels import not_levels
from gantool.train.preset_options import TRAINING

Loss = Literal["non-saturating", "hinge", "wgan-gp", "relativistic"]
Augmentation = Literal["none", "diff", "ada"]
Penalty = Literal["r1", "r2", "gp"]
Optimizer = Literal["adam", "sgd"]
Precision = Literal["fp32", "bf16", "fp16"]
DEFAULT_DATA = "fashion-mnist"
MAX_BATCH = 65536

# The default weights of the gradient penalties of each loss.
PENALTIES: dict[Loss, dict[Penalty, float]] = {
    "non-saturating": {},
    "hinge": {},
    "wgan-gp": {"gp": 10.0},
    "relativistic": {"r1": 1.0, "r2": 1.0},
}
MEASURED = {
    "channels_last",
    "compile",
    "threads",
    "threads_up_to",
}  # the autotuner sets these when a run starts

OF_DISTILLATION = ("teacher", "prune", "quantize", "decay", "real_data", "adversarial", "regression_kimg")

GROUPS = ("Data", "Network", "Loss", "Augmentation", "Schedule", "Speed", "Output", "Run")


def _seed(seed: int) -> str:
    return "" if 0 <= seed < 2**63 else "give a whole number from 0, below 2**63"


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a run. Raises UsageError for invalid values."""

    network: NetworkConfig
    # "fashion-mnist", or the path of a folder or file; training_options.json has the absolute path
    data: Annotated[
        str,
        Flag(
            f"images: a folder, .zip, .tar or .npy, or {DEFAULT_DATA}",
            group="Data",
            shown=DEFAULT_DATA,
            metavar="SOURCE",
        ),
    ]
    preset: Annotated[
        str,
        Flag(
            "network and settings to begin with: {choices}; with --help, show the defaults of the preset",
            group="Network",
            choices=tuple(PRESETS),
        ),
    ] = ""  # "": a run from before there were presets
    kimg: Annotated[
        float,
        Flag("stop after this many thousand images (kimg)", group="Schedule", check=positive, on_resume=True),
    ] = 300.0
    minutes: Annotated[
        float | None,
        Flag(
            "stop after this many minutes, if that is sooner",
            group="Schedule",
            check=positive,
            on_resume=True,
        ),
    ] = None
    batch: Annotated[int, Flag("images per step", group="Schedule", check=between(2, MAX_BATCH))] = 32
    # adam with betas 0.5 and 0.999, or sgd without momentum
    optimizer: Annotated[Optimizer, Flag("optimizer", group="Schedule")] = "adam"
    lr: Annotated[float, Flag("learning rate", group="Schedule", check=positive)] = 0.0002
    lr_d: Annotated[
        float | None,
        Flag("learning rate of the discriminator", group="Schedule", check=positive, shown="as --lr"),
    ] = None
    warmup_kimg: Annotated[
        float, Flag("linear learning-rate warm-up, in kimg", group="Schedule", check=nonnegative)
    ] = 0.0
    accumulate: Annotated[
        int, Flag("split each batch into N micro-batches", group="Schedule", check=between(1))
    ] = 1
    loss: Annotated[Loss, Flag("GAN loss", group="Loss")] = "non-saturating"
    # None: the default of the loss, see PENALTIES
    r1: Annotated[
        float | None, Flag("weight of the gradient penalty at real images", group="Loss", check=nonnegative)
    ] = None
    r2: Annotated[
        float | None,
        Flag("weight of the gradient penalty at generated images", group="Loss", check=nonnegative),
    ] = None
    gp: Annotated[
        float | None,
        Flag(
            "weight of the gradient penalty between real and generated images",
            group="Loss",
            check=nonnegative,
        ),
    ] = None
    # a penalty that is applied every N steps has N times its weight
    lazy: Annotated[
        int, Flag("apply the gradient penalties every N steps", group="Loss", check=between(1))
    ] = 1
    augment: Annotated[
        Augmentation,
        Flag("augmentation, for small data sets", group="Augmentation"),
    ] = "none"
    instance_noise: Annotated[
        float,
        Flag(
            "standard deviation of noise on all images that the discriminator sees",
            group="Augmentation",
            check=nonnegative,
        ),
    ] = 0.0
    ema_kimg: Annotated[
        float,
        Flag(
            "half-life of the generator's moving average (EMA), in kimg", group="Schedule", check=nonnegative
        ),
    ] = 5.0
    ema_rampup: Annotated[
        float,
        Flag(
            "early in a run, the half-life is at most this share of the images seen",
            group="Schedule",
            check=nonnegative,
        ),
    ] = 0.05
    mirror: Annotated[bool, Flag("flip images left to right at random", group="Augmentation")] = False
    seed: Annotated[int, Flag("random seed", group="Run", check=_seed)] = 0
    device: Annotated[
        str, Flag("auto, cpu, cuda, cuda:1, mps", group="Speed", metavar="DEVICE", on_resume=True)
    ] = "auto"
    tick: Annotated[
        float, Flag("kimg between lines of progress", group="Output", check=positive, on_resume=True)
    ] = 4.0
    snap: Annotated[
        int, Flag("ticks between checkpoints", group="Output", check=between(1), on_resume=True)
    ] = 10
    metric_every: Annotated[
        float | None,
        Flag(
            "measure the Fréchet distance every X kimg, and keep the best checkpoint",
            group="Output",
            check=positive,
            on_resume=True,
        ),
    ] = None
    tensorboard: Annotated[bool, Flag("also log to TensorBoard", group="Output", on_resume=True)] = False
    # how to compute a step; the autotuner chooses
    precision: Annotated[
        Precision,
        Flag(
            "precision of the networks: {choices}; weights, losses and penalties stay in fp32",
            group="Speed",
            shown="the fastest here",
        ),
    ] = "fp32"
    channels_last: bool = True
    compile: bool = False
    threads: int | None = None  # on a CPU; None: all
    # the run may change the number of threads, up to this one, if other programs are busy; None: it stays
    threads_up_to: int | None = None
    background: Annotated[
        str | None,
        Flag(
            "lay transparent images on a colour: white, black or #rrggbb",
            group="Data",
            metavar="COLOUR",
            check=not_a_colour,
            shown="kept transparent where most images are, else white",
        ),
    ] = None
    fit: Annotated[Fit, Flag("how images of another aspect ratio are made to fit the size", group="Data")] = (
        "crop"
    )

    levels: Annotated[
        str | None,
        Flag(
            "levels of 16-bit files that become black and white: LOW-HIGH, or auto for those of the set",
            group="Data",
            metavar="auto|LOW-HIGH",
            check=not_levels,
            shown="0 to the bits that the set uses",
        ),
    ] = None

    # of a distillation, the absolute path of the checkpoint, graph or engine whose images the generator learns to
    # make; else ""
    teacher: str = ""
    prune: Annotated[
        bool,
        Flag(
            "start from the teacher's most important channels, if it is a checkpoint of the same network",
            group="Student",
        ),
    ] = True
    quantize: str = ""  # "int8": in a distillation, the student computes as an INT8 graph does
    decay: bool = False  # the learning rates fall to 0 over the run
    real_data: bool = False  # in a distillation, the discriminator sees `data` and not the teacher's images
    adversarial: Annotated[
        float,
        Flag("weight of the GAN loss beside the distance from the teacher", group="Loss", check=nonnegative),
    ] = 1.0
    regression_kimg: Annotated[
        float,
        Flag("kimg before the discriminator joins", group="Loss", check=nonnegative),
    ] = 0.0

    def __post_init__(self) -> None:
        check(self)
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"`threads` {self.threads}: give a whole number from 1")
        if self.accumulate > self.batch // 2:
            raise UsageError(
                f"`accumulate` {self.accumulate}: each micro-batch of a batch of {self.batch} needs two images"
            )

    @property
    def penalized(self) -> bool:
        """Whether the loss has a penalty on gradients."""
        return any(map(self.penalty, get_args(Penalty)))

    def is_adversarial(self, images_seen: int) -> bool:
        """Return whether the discriminator takes part in a step."""
        return self.adversarial > 0 and images_seen >= self.regression_kimg * 1000

    def penalty(self, name: Penalty) -> float:
        """Return the weight of a penalty: the one in the options, or the default of the loss."""
        own: float | None = getattr(self, name)
        return PENALTIES[self.loss].get(name, 0.0) if own is None else own

    def resolved(self) -> "TrainingOptions":
        """Return the options with the defaults that depend on others: penalties, and the discriminator's rate."""
        penalties: dict[str, Any] = {name: self.penalty(name) for name in get_args(Penalty)}
        return replace(self, **penalties, lr_d=self.lr if self.lr_d is None else self.lr_d)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object. Only a distillation has its own: earlier versions read the others."""
        left_out = () if self.teacher else OF_DISTILLATION
        fields = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {**fields, "network": self.network.to_json()}


@dataclass(frozen=True)
class LaunchOptions:
    """How to start a run. Raises UsageError for invalid values."""

    conditional: Annotated[
        bool, Flag("train a class-conditional GAN", "--conditional --cond", group="Network")
    ] = False
    outdir: Annotated[Path, Flag("folder for run folders", group="Output")] = RUNS
    devices: Annotated[
        int | None,
        Flag(
            "processes on each machine, one per GPU; they share the batch",
            group="Speed",
            check=between(1),
            shown="those of torchrun or SLURM, else 1",
        ),
    ] = None
    nodes: Annotated[
        int | None,
        Flag(
            "number of machines", group="Speed", check=between(1), shown="those of torchrun or SLURM, else 1"
        ),
    ] = None
    autotune: Annotated[
        bool, Flag("measure which way to compute a step is fastest on this machine", group="Speed")
    ] = True
    resume: Annotated[
        str | None,
        Flag("resume a run, or the latest one, with its own options", group="Run", metavar="latest|RUN"),
    ] = None
    config: Annotated[
        Path | None,
        Flag(
            "read options from a .yaml or .json, such as a run's training_options.json; flags override it",
            group="Run",
        ),
    ] = None
    dry_run: Annotated[bool, Flag("print the options as JSON and exit", "-n --dry-run", group="Run")] = False

    def __post_init__(self) -> None:
        check(self)


def from_preset(given: Mapping[str, Any]) -> TrainingOptions:
    """Return the options of a run: the given values override the preset, which overrides the defaults.

    `given` may also have fields of NetworkConfig. Raises UsageError for invalid values.
    """
    preset = given.get("preset") or DEFAULT_PRESET  # "" in a file from before there were presets
    values = {"data": DEFAULT_DATA, **given, "preset": preset}
    of_network = options(NetworkConfig)
    check_given({"preset": preset}, options(TrainingOptions))
    network = {name: value for name, value in given.items() if name in of_network}
    if "size" in network:
        network["size"] = parse_size(network["size"])
    check_given(network, of_network)
    try:
        config = replace(PRESETS[preset], **network)
    except ValueError as error:
        raise UsageError(str(error)) from error
    known = options(TrainingOptions).keys() - of_network.keys()
    own = {name: value for name, value in values.items() if name in known}
    of_preset = TRAINING.get(preset, {})
    if any(own.get("loss") == name for name, penalties in PENALTIES.items() if penalties):
        # a loss with penalties of its own does not take the preset's
        of_preset = {name: value for name, value in of_preset.items() if name not in ("r1", "lazy")}
    return TrainingOptions(config, **{**of_preset, **own})


def bare(given: Given) -> Given:
    """Return the value of each option in a run with the options `given`; None: chosen when the run starts."""
    made = from_preset(given).resolved()
    values = {**asdict(made.network), **asdict(made)}
    return {**values, **{name: given.get(name) for name in ("channels", "precision", "data")}}


def read_options(path: Path) -> TrainingOptions:
    """Read a `training_options.json`. Raises GantoolError if it is not one."""
    from gantool.runtime.foreign import parse_json  # here, so that --help is faster

    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        network = config_from_json(values.pop("network"))
        known = options(TrainingOptions)
        for name in values.keys() & known.keys():
            if values[name] is not None or not known[name].optional:
                values[name] = typed(known[name], values[name], name)
        return TrainingOptions(network, **values)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, UsageError) as error:
        raise GantoolError(
            f"{path} does not hold the options of a run ({message_of(error)}): restore it, or start a new run: "
            "gantool train"
        ) from error

"""Everything that decides a training run; saved as `training_options.json` and shown by --dry-run."""

# Annotations are not postponed: those of flags would be compiled at every start.

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from gantool.models.config import NetworkConfig, config_from_json
from gantool.models.presets import DEFAULT_PRESET, PRESETS
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
from gantool.runtime.runs import RUNS
from gantool.train.data.colours import not_a_colour

Loss = Literal["non-saturating", "hinge", "wgan-gp", "relativistic"]
Augmentation = Literal["none", "diff", "ada"]
Penalty = Literal["r1", "r2", "gp"]
Optimizer = Literal["adam", "sgd"]
Precision = Literal["fp32", "bf16", "fp16"]
DEFAULT_DATA = "fashion-mnist"
MAX_BATCH = 65536

# The penalties on the discriminator's gradient where a run gives no others; see losses.py.
PENALTIES: dict[Loss, dict[Penalty, float]] = {
    "non-saturating": {},
    "hinge": {},
    "wgan-gp": {"gp": 10.0},
    "relativistic": {"r1": 1.0, "r2": 1.0},
}
MEASURED = {"channels_last", "compile", "threads", "threads_up_to"}  # by the autotuner, when a run starts

GROUPS = ("Data", "Network", "Loss", "Augmentation", "Schedule", "Speed", "Output", "Run")


def _seed(seed: int) -> str:
    return "" if 0 <= seed < 2**63 else "give a whole number from 0, below 2**63"


@dataclass(frozen=True)
class TrainingOptions:
    """One run. Raises UsageError for values that cannot be trained with."""

    network: NetworkConfig
    # "fashion-mnist", or the path of a folder or zip: in a run's own options the absolute one
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
            "network and settings to begin with: {choices}; with --help, shows its own defaults",
            group="Network",
            choices=tuple(PRESETS),
        ),
    ] = ""  # of a run from before there were presets
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
    batch: Annotated[int, Flag("images in a step", group="Schedule", check=between(2, MAX_BATCH))] = 32
    # adam with betas 0.5, 0.999, or plain sgd
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
    # penalties; None is the one of the loss
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
    # which then weigh as much more
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
    # how a step is computed; the autotuner chooses what is not given
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
    threads: int | None = None  # of a CPU; None is all
    # fewer or more, up to so many, as other programs allow; None keeps `threads`
    threads_up_to: int | None = None
    background: Annotated[
        str,
        Flag(
            "background of transparent images: white, black or #rrggbb",
            group="Data",
            metavar="COLOUR",
            check=not_a_colour,
        ),
    ] = "white"

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

    def penalty(self, name: Penalty) -> float:
        """Return the weight of a penalty: its own, or the one that the loss implies."""
        own: float | None = getattr(self, name)
        return PENALTIES[self.loss].get(name, 0.0) if own is None else own

    def resolved(self) -> "TrainingOptions":
        """Return the options with what the others imply: the penalties of the loss, the discriminator's rate."""
        penalties: dict[str, Any] = {name: self.penalty(name) for name in get_args(Penalty)}
        return replace(self, **penalties, lr_d=self.lr if self.lr_d is None else self.lr_d)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class LaunchOptions:
    """How a run is started, which its options do not say. Raises UsageError for what cannot be."""

    conditional: Annotated[
        bool, Flag("train a class-conditional GAN", "--conditional --cond", group="Network")
    ] = False
    outdir: Annotated[Path, Flag("folder that run folders are made in", group="Output")] = RUNS
    devices: Annotated[
        int | None,
        Flag(
            "processes on each machine, one a GPU; they share the batch",
            group="Speed",
            check=between(1),
            shown="those of torchrun or SLURM, else 1",
        ),
    ] = None
    nodes: Annotated[int | None, Flag("machines", group="Speed", check=between(1), shown="as --devices")] = (
        None
    )
    autotune: Annotated[
        bool, Flag("measure which way of computing is fastest on this machine", group="Speed")
    ] = True
    resume: Annotated[
        str | None,
        Flag("continue a run, or the latest one, with its own options", group="Run", metavar="latest|RUN"),
    ] = None
    config: Annotated[
        Path | None,
        Flag("options from a .yaml or .json, as a run's training_options.json; flags win", group="Run"),
    ] = None
    dry_run: Annotated[bool, Flag("print the options as JSON and exit", "-n --dry-run", group="Run")] = False

    def __post_init__(self) -> None:
        check(self)


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


def from_preset(given: Mapping[str, Any]) -> TrainingOptions:
    """Return the options of a run: what was given, of NetworkConfig too, over a preset's values over the defaults.

    Raises UsageError for what cannot be trained.
    """
    preset = given.get("preset") or DEFAULT_PRESET  # "" in a file from before there were presets
    values = {"data": DEFAULT_DATA, **given, "preset": preset}
    of_network = options(NetworkConfig)
    check_given({"preset": preset}, options(TrainingOptions))
    network = {name: value for name, value in given.items() if name in of_network}
    check_given(network, of_network)
    try:
        config = replace(PRESETS[preset], **network)
    except ValueError as error:
        hint = "; transparency is laid on `background`" if given.get("channels") == 4 else ""
        raise UsageError(f"{error}{hint}") from error
    known = options(TrainingOptions).keys() - of_network.keys()
    own = {name: value for name, value in values.items() if name in known}
    return TrainingOptions(config, **{**TRAINING.get(preset, {}), **own})


def bare(given: Given) -> Given:
    """Return the value of each option in a run that is given no more than `given`; None: chosen when it starts."""
    made = from_preset(given).resolved()
    values = {**asdict(made.network), **asdict(made)}
    return {**values, **{name: given.get(name) for name in ("channels", "precision", "data")}}


def read_options(path: Path) -> TrainingOptions:
    """Read a `training_options.json`. Raises GantoolError for one that `to_json` did not write."""
    import json  # not for --help

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        network = config_from_json(values.pop("network"))
        known = options(TrainingOptions)
        for name in values.keys() & known.keys():
            if values[name] is not None or not known[name].optional:
                values[name] = typed(known[name], values[name], name)
        return TrainingOptions(network, **values)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError, UsageError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GantoolError(
            f"{path} does not hold the options of a run ({reason}): restore it, or start a new run: gantool train"
        ) from error

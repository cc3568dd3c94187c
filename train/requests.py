"""The options of `gantool data`, `evaluate` and `plot`."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.models.config import SIZES, Size, doublings, near_sizes, parse_size
from gantool.runtime.colours import not_a_colour
from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, between, check
from gantool.runtime.web.flag import html_flag
from gantool.train.data.fitting import Fit
from gantool.train.data.levels import not_levels

MIN_SAMPLES = 16  # least number of images for `gantool evaluate`


def _size(size: Size) -> str:
    near = ", ".join(map(str, sorted(near_sizes("dcgan", size))))
    return "" if doublings("dcgan", size) else f"no network makes this size: the nearest sizes are {near}"


def _channels(channels: int) -> str:
    return "" if channels in (1, 3, 4) else "choose 1, 3 or 4"


def _bits(bits: int) -> str:
    return "" if bits in (8, 16) else "choose 8 or 16"


def _zip(path: Path) -> str:
    return "" if path.suffix.lower() == ".zip" else "give a name that ends in .zip, as in data.zip"


@dataclass(frozen=True)
class DataOptions:
    """The options of `gantool data`. Raises UsageError for invalid values."""

    source: Annotated[
        str, Flag("images: a folder, .zip, .tar or .npy, or fashion-mnist", metavar="SOURCE", argument=True)
    ]
    out: Annotated[
        Path, Flag("the .zip to write", "-o --out --dest", metavar="FILE.zip", check=_zip, group="Output")
    ] = Path("data.zip")
    size: Annotated[
        Size | None,
        Flag(
            "pixels per side, as in 64, or height x width, as in 96x64",
            group="Images",
            check=_size,
            metavar="N|HxW",
            parse=parse_size,
            shown=f"the largest of {', '.join(map(str, SIZES))} that at least half of the images have",
        ),
    ] = None
    channels: Annotated[
        int | None,
        Flag(
            "1 for grey, 3 for RGB, 4 for RGBA", group="Images", check=_channels, shown="those of the images"
        ),
    ] = None
    background: Annotated[
        str | None,
        Flag(
            "lay transparent images on a colour: white, black or #rrggbb",
            group="Images",
            metavar="COLOUR",
            check=not_a_colour,
            shown="kept transparent where most images are, else white",
        ),
    ] = None
    fit: Annotated[
        Fit, Flag("how images of another aspect ratio are made to fit the size", group="Images")
    ] = "crop"
    levels: Annotated[
        str | None,
        Flag(
            "levels of 16-bit files that become black and white: LOW-HIGH, or auto for those of the set",
            group="Images",
            metavar="auto|LOW-HIGH",
            check=not_levels,
            shown="0 to the bits that the set uses",
        ),
    ] = None
    bits: Annotated[
        int,
        Flag("bits of a grey level: 8, or 16 to keep those of 16-bit files", group="Images", check=_bits),
    ] = 8
    labels: Annotated[bool, Flag("read classes from dataset.json, or from folders", group="Images")] = True

    def __post_init__(self) -> None:
        check(self)
        if self.bits == 16 and self.channels not in (None, 1):
            raise UsageError(f"images of 16 bits are grey: `bits` 16 needs `channels` 1, not {self.channels}")


def _samples(count: int) -> str:
    return "" if count >= MIN_SAMPLES else f"give at least {MIN_SAMPLES}"


@dataclass(frozen=True)
class EvaluateOptions:
    """The options of `gantool evaluate`. Raises UsageError for invalid values."""

    source: Annotated[
        Path | None,
        Flag(
            "a run, checkpoint, graph or plan, or a folder or .zip of images",
            metavar="[RUN|CHECKPOINT|GRAPH.onnx|FOLDER]",
            shown="newest run",
            argument=True,
        ),
    ] = None
    data: Annotated[
        str | None,
        Flag("images to compare with", group="Data", metavar="SOURCE", shown="the training data of the run"),
    ] = None
    features: Annotated[
        str,
        Flag(
            "feature extractor: classifier (trained here, once), inception or FILE.onnx",
            group="Data",
            metavar="EXTRACTOR",
        ),
    ] = "classifier"
    samples: Annotated[int, Flag("images to generate, of seeds 0 to N-1", group="Data", check=_samples)] = (
        5000
    )
    out: Annotated[
        Path | None,
        Flag(
            "folder for metric-*.jsonl and nearest.png", "-o --out", group="Output", shown="beside the file"
        ),
    ] = None
    html: Annotated[
        Path | None,
        html_flag("scores, samples, nearest training images, histograms", "Output"),
    ] = None
    json: Annotated[bool, Flag("print JSON", group="Output")] = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ProjectOptions:
    """The options of `gantool project`."""

    pictures: Annotated[tuple[Path, ...], Flag("pictures to find", metavar="PICTURE...", argument=True)]
    checkpoint: Annotated[
        Path | None,
        Flag("run or checkpoint of the generator", metavar="RUN|CHECKPOINT", shown="newest run"),
    ] = None
    label: Annotated[
        str | None,
        Flag(
            "class of the images, for a conditional generator: its name or number",
            "--class",
            metavar="CLASS",
            shown="the nearest",
        ),
    ] = None
    steps: Annotated[int, Flag("steps of gradient descent per picture", check=between(1))] = 300
    background: Annotated[
        str | None,
        Flag(
            "lay transparent pictures on a colour: white, black or #rrggbb",
            metavar="COLOUR",
            check=not_a_colour,
            shown="as in training; RGBA stays transparent",
        ),
    ] = None
    out: Annotated[Path, Flag("folder for z.npy and pairs.png", "-o --out")] = Path("projected")
    json: Annotated[bool, Flag("print JSON")] = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PlotOptions:
    """The options of `gantool plot`."""

    run: Annotated[
        Path | None, Flag("folder of a run", metavar="[RUN]", shown="newest run", argument=True)
    ] = None
    out: Annotated[
        Path | None, Flag("the .html or .png to write", "-o --out", shown="plot.html in the run")
    ] = None

"""What this room can be asked for besides the training itself: data, evaluate, plot."""

# Annotations are not postponed: those of flags would be compiled at every start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.models.config import SIZES
from gantool.runtime.flags import Flag, check
from gantool.train.data.colours import not_a_colour

MIN_SAMPLES = 16  # images that `gantool evaluate` compares


def sizes() -> list[int]:
    """Return the pixels a side that presets make."""
    return sorted({size for each in SIZES.values() for size in each})


def _size(size: int) -> str:
    return "" if size in sizes() else f"choose {', '.join(map(str, sizes()))}"


def _channels(channels: int) -> str:
    return "" if channels in (1, 3) else "choose 1 or 3; transparency is laid on `background`"


def _zip(path: Path) -> str:
    return "" if path.suffix.lower() == ".zip" else "give a name that ends in .zip, as in data.zip"


@dataclass(frozen=True)
class DataOptions:
    """The data set that `gantool data` makes. Raises UsageError for what cannot be."""

    source: Annotated[
        str, Flag("images: a folder, .zip, .tar or .npy, or fashion-mnist", metavar="SOURCE", argument=True)
    ]
    out: Annotated[
        Path, Flag("the .zip to write", "-o --out --dest", metavar="FILE.zip", check=_zip, group="Output")
    ] = Path("data.zip")
    size: Annotated[
        int | None,
        Flag(
            f"pixels a side: {', '.join(map(str, sizes()))}",
            group="Images",
            check=_size,
            shown="the largest that half of the images have",
        ),
    ] = None
    channels: Annotated[
        int | None, Flag("1 for grey, 3 for RGB", group="Images", check=_channels, shown="as the images are")
    ] = None
    background: Annotated[
        str,
        Flag(
            "background of transparent images: white, black or #rrggbb",
            group="Images",
            metavar="COLOUR",
            check=not_a_colour,
        ),
    ] = "white"
    labels: Annotated[bool, Flag("read classes from dataset.json, or from folders", group="Images")] = True

    def __post_init__(self) -> None:
        check(self)


def _samples(count: int) -> str:
    return "" if count >= MIN_SAMPLES else f"give at least {MIN_SAMPLES}"


@dataclass(frozen=True)
class EvaluateOptions:
    """What `gantool evaluate` compares. Raises UsageError for what cannot be."""

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
        Flag("images to compare with", group="Data", metavar="SOURCE", shown="what the run was trained on"),
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
    json: Annotated[bool, Flag("print JSON", group="Output")] = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PlotOptions:
    """What `gantool plot` draws."""

    run: Annotated[
        Path | None, Flag("folder of a run", metavar="[RUN]", shown="newest run", argument=True)
    ] = None
    out: Annotated[
        Path | None, Flag("the .html or .png to write", "-o --out", shown="plot.html in the run")
    ] = None

"""The options of `gantool generate`."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from gantool.runtime.colours import not_a_colour
from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, between, check
from gantool.runtime.provenance.flags import (
    MARK,
    AigcFlag,
    C2paCertFlag,
    C2paKeyFlag,
    CreditFlag,
    MarkName,
    RequireSignatureFlag,
    check_mark,
    check_signer,
)
from gantool.runtime.seeds import MAX_SEED, STEPS
from gantool.runtime.variations import COUNT, SPREAD

Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
Format = Literal["png", "webp", "jpg", "tiff", "npy", "tar", "-"]
Balance = Literal["even", "data"]
Layout = Literal["flat", "folders"]

# How an engine runs: flags of `generate` and of `morph`.
BatchFlag = Annotated[int | None, Flag("images at a time", group="Engine", shown="up to 64")]
ProviderFlag = Annotated[Provider, Flag("library and device that run a graph", group="Engine")]
ThreadsFlag = Annotated[
    int | None,
    Flag("threads that run a graph on the CPU", "--engine-threads", group="Engine", shown="one per core"),
]


def parse_grid(text: str, example: str) -> tuple[int, int]:
    """Parse `8x4` into (columns, rows). Raises UsageError, with the example, for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", text)
    if not match:
        raise UsageError(f"`grid` {text}: write columns by rows, as in {example}")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Request:
    """Which images to make, how to run the engine, and where to write. Raises UsageError for invalid values."""

    seeds: Annotated[
        str | None,
        Flag(
            "seeds 0,1,4-6, ends included; mixes 1+2 and 3*0.7+9*0.3; walks 3~9",
            group="Images",
            metavar="SEEDS",
            shown="0-63",
        ),
    ] = None
    steps: Annotated[
        int | None, Flag("images of each leg of a walk, ends included", group="Images", shown=str(STEPS))
    ] = None
    near: Annotated[
        str | None,
        Flag("a seed or a mix, and variations of it, instead of seeds", group="Images", metavar="SEED"),
    ] = None
    spread: Annotated[
        float | None,
        Flag(
            "how far the variations are from it: 0.001 to 1, where 1 is unrelated",
            group="Images",
            shown=f"{SPREAD:g}",
        ),
    ] = None
    count: Annotated[
        int | None, Flag("number of images, the first without variation", group="Images", shown=str(COUNT))
    ] = None
    z: Annotated[
        Path | None,
        Flag(
            "z from an array, float32 [N, latent], instead of seeds",
            "--z",
            group="Images",
            metavar="FILE.npy",
        ),
    ] = None
    out: Annotated[
        Path | None,
        Flag(
            "folder for the images; - means --format -",
            "--out --outdir -o",
            group="Output",
            shown="images, or images2 and so on if it has some of them",
        ),
    ] = None
    grid: Annotated[
        str | None,
        Flag(
            "also write grid.png, a sheet of the first images: columns by rows",
            group="Output",
            metavar="8x8",
        ),
    ] = None
    spacing: Annotated[
        int | None,
        Flag("pixels between the cells of --grid", group="Output", check=between(0, 1024), shown="0"),
    ] = None
    scale: Annotated[
        int | None,
        Flag(
            "enlarge each cell of --grid, pixel by pixel",
            group="Output",
            check=between(1, 64),
            shown="1",
        ),
    ] = None
    atlas: Annotated[
        bool, Flag("also write grid.json, where each image is on grid.png, for game engines", group="Output")
    ] = False
    background: Annotated[
        str | None,
        Flag(
            "lay transparent images on this colour: white, black or #rrggbb",
            group="Output",
            metavar="COLOUR",
            check=not_a_colour,
        ),
    ] = None
    batch: BatchFlag = None
    truncation: Annotated[
        float,
        Flag("scale of z: below 1, images are more typical and less varied", "--trunc", group="Images"),
    ] = 1.0
    resample: Annotated[
        float | None,
        Flag(
            "draw numbers of z beyond ±X again, as BigGAN does, instead of scaling",
            "--trunc-resample",
            group="Images",
        ),
    ] = None
    direction: Annotated[
        tuple[str, ...],
        Flag(
            "move all z along a direction, as 0=1.5 or smile=-2; repeatable",
            group="Images",
            metavar="NAME=STEPS",
        ),
    ] = ()
    directions: Annotated[Path, Flag("file of gantool directions", group="Images", metavar="FILE.npz")] = (
        Path("directions.npz")
    )
    label: Annotated[
        str | None,
        Flag(
            "classes, for a conditional generator: names, numbers and ranges, or all; each seed in each of them",
            "--class",
            group="Classes",
            metavar="CLASSES",
            shown="one for each seed",
        ),
    ] = None
    per_class: Annotated[
        int | None,
        Flag(
            "this many images of each class: seeds 0, 1 and so on",
            group="Classes",
            check=between(1, MAX_SEED),
        ),
    ] = None
    balance: Annotated[
        Balance | None,
        Flag(
            "classes of the seeds: {choices}; even is seed mod classes, data follows the training data",
            group="Classes",
            shown="even",
        ),
    ] = None
    layout: Annotated[Layout, Flag("{choices}; folders is a folder for each class", group="Classes")] = "flat"
    format: Annotated[
        Format | None,
        Flag(
            "{choices}; webp is lossless, tiff is not compressed, npy is one array of all images, tar is PNG in "
            "shards of a WebDataset, - is raw frames to stdout",
            group="Output",
            shown="png",
        ),
    ] = None
    level: Annotated[
        int | None, Flag("compression effort: 0 to 9 for PNG, 0 to 6 for WebP", group="Output", shown="fast")
    ] = None
    quality: Annotated[int | None, Flag("JPEG quality, 1 to 100", group="Output", shown="90")] = None
    shard_size: Annotated[int, Flag("images in a tar", group="Output")] = 10_000
    shard: Annotated[
        str | None,
        Flag(
            "make only one part of the seeds, to share them among machines: 3/16 is the third of 16",
            group="Images",
            metavar="3/16",
        ),
    ] = None
    resume: Annotated[bool, Flag("generate only the images that are missing or damaged", group="Output")] = (
        False
    )
    dump_z: Annotated[
        bool, Flag("also write z.npy, float32 [N, latent], one row per image", group="Output")
    ] = False
    force: Annotated[bool, Flag("overwrite images that are there", group="Output")] = False
    encoders: Annotated[
        int | None, Flag("threads that encode images", "--threads", group="Output", shown="one per core")
    ] = None
    provider: ProviderFlag = "auto"
    threads: ThreadsFlag = None
    require_signature: RequireSignatureFlag = None
    mark: Annotated[MarkName, Flag(f"{MARK}; c2pa signs the file too", group="Provenance")] = "xmp"
    c2pa_cert: C2paCertFlag = None
    c2pa_key: C2paKeyFlag = None
    credit: CreditFlag = None
    aigc: AigcFlag = None

    def __post_init__(self) -> None:
        check(self)
        check_mark(self.mark, self.credit, self.aigc)
        check_signer(self.mark, self.c2pa_cert, self.c2pa_key)
        if self.resume and self.force:
            raise UsageError(
                "`resume` goes on with the images that are there, `force` overwrites them: give one"
            )


@dataclass(frozen=True)
class EngineOptions:
    """The engine of `gantool generate`, as an argument or as a flag."""

    file: Annotated[
        Path | None,
        Flag(
            "g.onnx, g.plan or g.rtx.plan",
            metavar="[ENGINE]",
            shown="newest g.* that runs here",
            argument=True,
        ),
    ] = None
    engine: Annotated[
        Path | None,
        Flag("the engine, instead of the argument", "--engine -e", group="Engine", metavar="FILE"),
    ] = None

    def __post_init__(self) -> None:
        if self.file is not None and self.engine is not None:
            raise UsageError(f"{self.file} and `engine` {self.engine}: give one of them")

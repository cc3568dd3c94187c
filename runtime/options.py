"""What the commands on a device can be asked for: generate, bench, cache."""

# Annotations are not postponed: those of flags would be compiled at every start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, check

Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
Format = Literal["png", "webp", "jpg", "npy", "tar", "-"]
Kind = Literal["data", "features", "speed", "kernels", "errors"]


@dataclass(frozen=True)
class GenerateOptions:
    """Which images to generate, with what, and where to. Raises UsageError for what cannot be."""

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
        Path | None, Flag("the same, as a flag", "--engine -e", group="Engine", metavar="FILE")
    ] = None
    seeds: Annotated[str, Flag("seeds, as 0,1,4-6; ends included", group="Images", metavar="SEEDS")] = "0-63"
    out: Annotated[
        Path, Flag("folder for the images; - means --format -", "--out --outdir -o", group="Output")
    ] = Path("images")
    grid: Annotated[
        str | None,
        Flag(
            "also write grid.png, a sheet of the first images: columns by rows",
            group="Output",
            metavar="8x8",
        ),
    ] = None
    batch: Annotated[int | None, Flag("images at a time", group="Engine", shown="up to 64")] = None
    truncation: Annotated[
        float,
        Flag("scale of z: below 1, images are more typical and less varied", "--trunc", group="Images"),
    ] = 1.0
    label: Annotated[
        str | None,
        Flag(
            "class of all images, of a conditional generator: its name or number",
            "--class",
            group="Images",
            metavar="CLASS",
            shown="seed mod classes",
        ),
    ] = None
    format: Annotated[
        Format | None,
        Flag(
            "{choices}; webp is lossless, npy one array of all images, tar PNG in shards of a WebDataset, - raw "
            "frames to stdout",
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
            "one share of the seeds, for one of several machines: here the third of 16",
            group="Images",
            metavar="3/16",
        ),
    ] = None
    resume: Annotated[bool, Flag("generate only the images that are missing or damaged", group="Output")] = (
        False
    )
    encoders: Annotated[
        int | None, Flag("threads that encode images", "--threads", group="Output", shown="one a core")
    ] = None
    provider: Annotated[Provider, Flag("what runs a graph", group="Engine")] = "auto"
    threads: Annotated[
        int | None,
        Flag("threads that run a graph on the CPU", "--engine-threads", group="Engine", shown="one a core"),
    ] = None

    def __post_init__(self) -> None:
        check(self)
        if self.file is not None and self.engine is not None:
            raise UsageError(f"{self.file} and `engine` {self.engine}: give one of them")


@dataclass(frozen=True)
class BenchOptions:
    """What `gantool bench` measures."""

    files: Annotated[
        tuple[Path, ...],
        Flag("graphs and plans", metavar="[FILES]...", shown="all g.* that run here", argument=True),
    ] = ()
    batch: Annotated[str, Flag("batch sizes, separated by commas", metavar="SIZES")] = "1,8,32"
    provider: Annotated[
        str,
        Flag("what runs graphs: as in gantool generate, or several separated by commas", metavar="NAMES"),
    ] = "auto"
    seconds: Annotated[float, Flag("time for the rate, and again for the latency")] = 2.0
    threads: Annotated[
        int | None, Flag("threads that run a graph on the CPU", "--engine-threads", shown="one a core")
    ] = None
    json: Annotated[bool, Flag("print JSON")] = False


@dataclass(frozen=True)
class CacheOptions:
    """What `gantool cache` shows or removes."""

    kind: Annotated[
        str | None,
        Flag(
            "data, features, speed, kernels or errors",
            metavar="[KIND]",
            shown="all",
            argument=True,
        ),
    ] = None
    clear: Annotated[bool, Flag("remove it; it is made again when needed")] = False
    json: Annotated[bool, Flag("print JSON")] = False

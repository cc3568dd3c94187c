"""The options of `gantool bench`, `morph` and `cache`."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.runtime.colours import not_a_colour
from gantool.runtime.flags import Flag, between, check, whole_numbers
from gantool.runtime.provenance.flags import AigcFlag, CreditFlag, MarkFlag, check_mark
from gantool.runtime.request import BatchFlag, ProviderFlag, ThreadsFlag, parse_grid
from gantool.runtime.web.flag import html_flag


def _fps(fps: float) -> str:
    return "" if 0.1 <= fps <= 240 else "give a number from 0.1 to 240"


def _at_most_an_hour(seconds: float) -> str:
    return "" if 0 < seconds <= 3600 else "give a number above 0, at most 3600"


@dataclass(frozen=True)
class BenchOptions:
    """The options of `gantool bench`."""

    files: Annotated[
        tuple[Path, ...],
        Flag("graphs and plans", metavar="[FILES]...", shown="all g.* that run here", argument=True),
    ] = ()
    batch: Annotated[
        tuple[int, ...],
        Flag("batch sizes, separated by commas", metavar="SIZES", parse=whole_numbers("batch", 99_999)),
    ] = (1, 8, 32)
    provider: Annotated[
        tuple[str, ...],
        Flag(
            "provider of graphs, as in gantool generate; or several, separated by commas",
            metavar="NAMES",
            parse=lambda text: text.split(","),
        ),
    ] = ("auto",)
    seconds: Annotated[
        float, Flag("seconds to measure the rate, and again the latency", check=_at_most_an_hour)
    ] = 2.0
    threads: Annotated[
        int | None, Flag("threads that run a graph on the CPU", "--engine-threads", shown="one per core")
    ] = None
    html: Annotated[Path | None, html_flag("rates, latencies and the machine")] = None
    json: Annotated[bool, Flag("print JSON")] = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MorphOptions:
    """What a film shows, and where it is written. Raises UsageError for invalid values."""

    seeds: Annotated[str, Flag("seeds of the walk in order, as 1,5,9", group="Walk", metavar="SEEDS")] = "0-5"
    frames: Annotated[
        int, Flag("frames from one seed to the next", group="Walk", check=between(1, 100_000))
    ] = 60
    loop: Annotated[bool, Flag("go back to the first seed at the end", group="Walk")] = False
    ease: Annotated[bool, Flag("slow down at each seed", group="Walk")] = False
    label: Annotated[
        str | None,
        Flag(
            "class of all images, for a conditional generator: its name or number",
            "--class",
            group="Walk",
            metavar="CLASS",
            shown="one for each seed; soft labels cross-fade, others change halfway",
        ),
    ] = None
    truncation: Annotated[
        float,
        Flag("scale of z: below 1, images are more typical and less varied", "--trunc", group="Walk"),
    ] = 1.0
    resample: Annotated[
        float | None,
        Flag(
            "draw numbers of z beyond ±X again, as BigGAN does, instead of scaling",
            "--trunc-resample",
            group="Walk",
        ),
    ] = None
    out: Annotated[
        Path,
        Flag(
            "the .mp4, .webm, .gif, .webp or .png to write; - is raw frames to stdout",
            "-o --out",
            group="Output",
            metavar="FILE",
        ),
    ] = Path("morph.webp")
    fps: Annotated[float, Flag("frames a second", group="Output", check=_fps)] = 30.0
    grid: Annotated[
        str,
        Flag(
            "a grid of walks, columns by rows: each has its share of the seeds", group="Output", metavar="4x3"
        ),
    ] = "1x1"
    upscale: Annotated[
        int, Flag("enlarge by repeating each pixel N × N times", group="Output", check=between(1, 256))
    ] = 1
    background: Annotated[
        str | None,
        Flag(
            "background of transparent images: white, black or #rrggbb",
            group="Output",
            metavar="COLOUR",
            shown="white where the format has no transparency",
            check=not_a_colour,
        ),
    ] = None
    force: Annotated[bool, Flag("overwrite the file", group="Output")] = False
    batch: BatchFlag = None
    provider: ProviderFlag = "auto"
    threads: ThreadsFlag = None
    mark: MarkFlag = "xmp"
    credit: CreditFlag = None
    aigc: AigcFlag = None

    def __post_init__(self) -> None:
        check(self)
        check_mark(self.mark, self.credit, self.aigc)
        _ = self.cells

    @property
    def cells(self) -> tuple[int, int]:
        """The columns and rows of the grid. Raises UsageError for another text."""
        return parse_grid(self.grid, "4x3")


@dataclass(frozen=True)
class CacheOptions:
    """The options of `gantool cache`."""

    kind: Annotated[
        str | None,
        Flag(
            "data, features, speed, kernels, graphs, web or errors",
            metavar="[KIND]",
            shown="all",
            argument=True,
        ),
    ] = None
    clear: Annotated[bool, Flag("remove these files; gantool makes them again when needed")] = False
    json: Annotated[bool, Flag("print JSON")] = False

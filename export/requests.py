"""The options of the commands inspect, verify, directions, doctor and refit."""

# No `from __future__ import annotations`: Python would compile the flags' annotations at every start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, between, check
from gantool.runtime.web.flag import html_flag


@dataclass(frozen=True)
class InspectOptions:
    """The options of `gantool inspect`."""

    file: Annotated[
        Path,
        Flag(
            "a checkpoint, graph, plan, bundle, image, film or run, or a folder of these",
            metavar="[FILE|FOLDER]",
            shown="this folder",
            argument=True,
        ),
    ] = Path()
    json: Annotated[bool, Flag("print JSON")] = False


@dataclass(frozen=True)
class VerifyOptions:
    """The options of `gantool verify`."""

    files: Annotated[
        tuple[Path, ...],
        Flag(
            "checkpoints, runs, graphs, plans, bundles, to compare with the first",
            metavar="FILES...",
            argument=True,
        ),
    ]
    seeds: Annotated[str, Flag("seeds, as in 0,1,4-6; ends included", metavar="SEEDS")] = "0-63"
    min_psnr: Annotated[
        float | None,
        Flag("dB that the worst image must reach", shown="FP32 50, FP16 40, BF16 30, INT8 30"),
    ] = None
    html: Annotated[
        Path | None, html_flag("the worst images beside those of the first file, PSNR by seed, the limits")
    ] = None
    json: Annotated[bool, Flag("print JSON")] = False
    signature: Annotated[
        Path | None,
        Flag(
            "instead check that the files, or those of a folder, are as this public key's owner signed them",
            metavar="PUB.pem",
        ),
    ] = None

    def __post_init__(self) -> None:
        check(self)
        if self.signature and (self.html or self.min_psnr is not None):
            raise UsageError("`signature` compares no images: leave out `html` and `min_psnr`")


def _npz(path: Path) -> str:
    return "" if path.suffix == ".npz" else "give a name that ends in .npz, as in directions.npz"


@dataclass(frozen=True)
class DirectionsOptions:
    """The options of `gantool directions`. Raises UsageError for invalid values."""

    source: Annotated[
        Path,
        Flag("a run, a checkpoint or a graph in FP32", metavar="RUN|CHECKPOINT|GRAPH.onnx", argument=True),
    ]
    count: Annotated[
        int, Flag("number of directions from the first layer, the strongest first", check=between(0, 8192))
    ] = 10
    group: Annotated[
        tuple[str, ...],
        Flag("also the direction between two groups of seeds; repeatable", metavar="NAME=SEEDS/SEEDS"),
    ] = ()
    seed: Annotated[int, Flag("seed of the sheet", check=between(0, 2**32 - 1))] = 0
    label: Annotated[
        str | None,
        Flag(
            "class of the sheet, for a conditional generator: its name or number",
            "--class",
            metavar="CLASS",
            shown="0",
        ),
    ] = None
    out: Annotated[
        Path, Flag("the .npz to write; the sheet is beside it", "-o --out", metavar="FILE.npz", check=_npz)
    ] = Path("directions.npz")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class DoctorOptions:
    """The options of `gantool doctor`."""

    folder: Annotated[
        Path, Flag("folder with your engines", metavar="[FOLDER]", shown="this folder", argument=True)
    ] = Path()
    selftest: Annotated[bool, Flag("build and run tiny generators with every installed library")] = False
    json: Annotated[bool, Flag("print JSON")] = False
    out: Annotated[Path, Flag("report of the self-test", "-o --out", metavar="FILE")] = Path(
        "gantool-doctor.json"
    )
    html: Annotated[
        Path | None, html_flag("this machine, and the images of the self-test beside golden ones")
    ] = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RefitOptions:
    """The options of `gantool refit`."""

    plan: Annotated[Path, Flag("a plan built with --strip-weights", argument=True)]
    graph: Annotated[
        Path, Flag("the graph that the plan was built from", metavar="GRAPH.onnx", argument=True)
    ]
    out: Annotated[
        Path | None, Flag("the complete plan to write", "-o --out", metavar="PLAN", shown="replaces PLAN")
    ] = None

"""The options of `gantool tune` that say what is made. Needs neither torch nor onnx."""

# No `from __future__ import annotations`: Python would compile the flags' annotations at every start.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from gantool.export.options import LOWERINGS
from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, check, choose
from gantool.runtime.web.flag import html_flag

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_MADE = "Variants of runs"


def _names(name: str, known: tuple[str, ...]) -> Any:
    """Return the parser of a list of names that are separated by commas."""

    def parse(text: Any) -> list[str]:
        names = str(text).split(",")
        for each in names:
            if each not in known:
                raise UsageError(f"`{name}` {each}: {choose(each, known)}")
        return names

    return parse


def _folder(path: Path) -> str:
    return "it is a file: give the name of a folder" if path.is_file() else ""


@dataclass(frozen=True)
class TuneRequest:
    """What is tuned, and what becomes of the best."""

    sources: Annotated[
        tuple[Path, ...],
        Flag(
            "runs and checkpoints, of which variants are exported; graphs, plans and bundles as they are, or a "
            "folder of these; the first is the reference",
            metavar="[SOURCES]...",
            shown="newest run",
            argument=True,
        ),
    ] = ()
    precision: Annotated[
        tuple[str, ...],
        Flag(
            f"precisions, of {', '.join(PRECISIONS)}",
            group=_MADE,
            metavar="NAMES",
            parse=_names("precision", PRECISIONS),
        ),
    ] = ("fp32", "fp16", "int8")
    lowering: Annotated[
        tuple[str, ...],
        Flag(
            "rewrites of transposed convolutions, as in gantool export",
            group=_MADE,
            metavar="NAMES",
            parse=_names("lowering", LOWERINGS),
        ),
    ] = ("none", "cpu", "phases")
    data: Annotated[
        str | None,
        Flag(
            "measure the Fréchet distance to these images, as in gantool evaluate",
            group="Measurement",
            metavar="SOURCE",
            shown="compare the images of the same seeds",
        ),
    ] = None
    features: Annotated[
        str | None,
        Flag(
            "feature extractor for --data, as in gantool evaluate",
            group="Measurement",
            metavar="EXTRACTOR",
            shown="classifier",
        ),
    ] = None
    apply: Annotated[bool, Flag("make the best file, as BASE", group="Output")] = False
    base: Annotated[
        Path, Flag("name of the best file without its suffix", "-o --out", group="Output", metavar="BASE")
    ] = Path("tuned")
    bundle: Annotated[
        Path | None,
        Flag(
            "measure nothing, but write all variants as bundles into this folder, to tune them on a device",
            group="Output",
            metavar="DIR",
            check=_folder,
        ),
    ] = None
    html: Annotated[
        Path | None, html_flag("quality over cost, the images of the front, all figures", "Output")
    ] = None
    json: Annotated[bool, Flag("print JSON", group="Output")] = False

    def __post_init__(self) -> None:
        check(self)
        if self.features is not None and self.data is None:
            raise UsageError("`features` needs `data`: add it")
        if self.bundle is not None and (self.apply or self.html or self.json):
            raise UsageError("`bundle` measures nothing: leave out `apply`, `html` and `json`")

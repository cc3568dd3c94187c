"""The options of `gantool authenticate`."""

# No `from __future__ import annotations`: as in the options of other commands.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.runtime.flags import Flag, check
from gantool.runtime.request import BatchFlag, ProviderFlag, ThreadsFlag
from gantool.runtime.web.flag import html_flag


@dataclass(frozen=True)
class AuthenticateOptions:
    """What to check, and with which engine."""

    files: Annotated[
        tuple[Path, ...], Flag("images, or folders of them", metavar="FILES...", argument=True)
    ] = ()
    engine: Annotated[
        Path | None,
        Flag(
            "the engine that made them, or another one of the same generator",
            "--engine -e",
            group="Engine",
            metavar="FILE",
            shown="newest g.* that runs here",
        ),
    ] = None
    search: Annotated[
        str | None,
        Flag("look for the seeds of images without a mark among these, as 0-99999", metavar="SEEDS"),
    ] = None
    label: Annotated[
        str | None,
        Flag(
            "search in this class of a conditional generator",
            "--class",
            metavar="CLASS",
            shown="one for each seed",
        ),
    ] = None
    truncation: Annotated[float, Flag("search with this truncation", "--trunc")] = 1.0
    batch: BatchFlag = None
    provider: ProviderFlag = "auto"
    threads: ThreadsFlag = None
    html: Annotated[Path | None, html_flag("what is altered, and where")] = None
    json: Annotated[bool, Flag("print JSON")] = False

    def __post_init__(self) -> None:
        check(self)

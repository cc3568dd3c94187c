"""The options of `gantool serve`."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag, between, check, positive
from gantool.runtime.provenance.flags import (
    AigcFlag,
    CreditFlag,
    MarkFlag,
    RequireSignatureFlag,
    check_mark,
)
from gantool.runtime.request import ProviderFlag, ThreadsFlag

TOKEN = "GANTOOL_TOKEN"  # environment variable
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # it becomes a part of URLs
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


@dataclass(frozen=True)
class ServeOptions:
    """Which engines to serve, where, to whom, and how much of it. Raises UsageError for invalid values."""

    files: Annotated[
        tuple[str, ...],
        Flag(
            "g.onnx, g.plan or g.rtx.plan; the first is the default model",
            metavar="[ENGINE]...",
            shown="newest g.* that runs here",
            argument=True,
        ),
    ] = ()
    engine: Annotated[
        tuple[str, ...],
        Flag(
            "an engine, and the name of its model; repeatable",
            "--engine -e",
            group="Engine",
            metavar="[NAME=]FILE",
        ),
    ] = ()
    provider: ProviderFlag = "auto"
    threads: ThreadsFlag = None
    require_signature: RequireSignatureFlag = None
    directions: Annotated[
        Path | None,
        Flag("file of gantool directions, for the sliders of the page", group="Engine", metavar="FILE.npz"),
    ] = None
    host: Annotated[
        str,
        Flag("address to listen on; 0.0.0.0 is every IPv4 address", group="Network", metavar="ADDRESS"),
    ] = "127.0.0.1"
    port: Annotated[int, Flag("port; 0 is a free one", group="Network", check=between(0, 65535))] = 8000
    token: Annotated[
        str | None,
        Flag(
            f"ask clients for this token; better in the environment, as {TOKEN}: other users see arguments",
            group="Network",
            metavar="TOKEN",
        ),
    ] = None
    cors: Annotated[
        tuple[str, ...],
        Flag(
            "a web site whose pages may ask this server, as https://example.org, or *; repeatable",
            group="Network",
            metavar="ORIGIN",
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Flag(
            "a name by which clients may call this server, as images.example.org, or *; repeatable",
            group="Network",
            metavar="NAME",
            shown="localhost on a loopback address, else *",
        ),
    ] = ()
    max_batch: Annotated[
        int, Flag("images that the engine makes at a time", group="Load", check=between(1, 4096))
    ] = 32
    max_wait_ms: Annotated[
        float,
        Flag(
            "milliseconds that an image waits for others to fill a batch; at 0 it waits only for the engine",
            group="Load",
            check=lambda ms: "" if 0 <= ms <= 10_000 else "give a number from 0 to 10000",
        ),
    ] = 0.0
    max_queue: Annotated[
        int,
        Flag(
            "images that wait for the engine; a request over it gets 503 at once",
            group="Load",
            check=between(1, 1_000_000),
        ),
    ] = 256
    encoders: Annotated[
        int | None,
        Flag(
            "threads that encode images",
            "--threads",
            group="Load",
            shown="one per core",
            check=between(1, 1024),
        ),
    ] = None
    max_seeds: Annotated[int, Flag("images of a request", group="Limits", check=between(1, 1_000_000))] = 256
    max_size: Annotated[
        int,
        Flag(
            "pixels of the longer side of an enlarged image or a film", group="Limits", check=between(1, 8192)
        ),
    ] = 1024
    max_frames: Annotated[int, Flag("frames of a film", group="Limits", check=between(2, 100_000))] = 600
    max_streams: Annotated[
        int,
        Flag(
            "camera streams, films and requests of more than a batch at a time",
            group="Limits",
            check=between(1, 1024),
        ),
    ] = 8
    max_body: Annotated[int, Flag("MiB of the body of a request", group="Limits", check=between(1, 1024))] = 4
    timeout: Annotated[
        float,
        Flag(
            "seconds for a request to arrive, to wait for the engine, and to end after a SIGTERM",
            group="Limits",
            check=positive,
        ),
    ] = 30.0
    mark: MarkFlag = "xmp"
    credit: CreditFlag = None
    aigc: AigcFlag = None
    log_json: Annotated[bool, Flag("log a JSON object a line", group="Log")] = False

    def __post_init__(self) -> None:
        check(self)
        check_mark(self.mark, self.credit, self.aigc)
        if self.token == "":
            raise UsageError("`token` is empty: give one, or leave it out")
        for origin in self.cors:
            if origin != "*" and not re.fullmatch(r"https?://[^\s/?#*]+", origin):
                raise UsageError(f"`cors` {origin}: write an origin, as in https://example.org, or *")
        if self.max_queue < self.max_batch:
            raise UsageError(
                f"`max_queue` {self.max_queue}: a batch of `max_batch` {self.max_batch} images must fit into it"
            )

    @property
    def secret(self) -> str | None:
        """The token, from the flag or the environment."""
        return self.token or os.environ.get(TOKEN) or None

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        return _LOOPBACK.fullmatch(self.host) is not None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names in a URL by which clients may call the server; ("*",) is any.

        On a loopback address, others are refused: a page of another site could have its name lead here.
        """
        if self.allowed_hosts:
            return self.allowed_hosts
        return (self.host, "localhost", "127.0.0.1", "::1") if self.loopback else ("*",)

    @property
    def models(self) -> dict[str, Path]:
        """The engine of each model; the first is the default. Raises UsageError for two of a name."""
        found: dict[str, Path] = {}
        for text in (*self.files, *self.engine):
            name, path = _named(text)
            if name in found:
                raise UsageError(
                    f"{found[name]} and {path} would both be the model {name}: give names, as in "
                    f"`engine` {name}2={path}"
                )
            found[name] = path
        return found


def _named(text: str) -> tuple[str, Path]:
    """Parse NAME=FILE or FILE, whose model is `g.fp16` for g.fp16.onnx."""
    name, equals, file = text.partition("=")
    if equals and not Path(text).exists():
        if not _NAME.fullmatch(name):
            raise UsageError(f"`engine` {text}: {name!r} is not a name: use letters, digits, _, . and -")
        if not file:
            raise UsageError(f"`engine` {text}: the file is missing, as in {name}=g.onnx")
        return name, Path(file)
    path = Path(text)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).lstrip("_.-")[:64]
    return stem or "model", path

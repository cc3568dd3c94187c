"""The marks of the images of a server: those of `gantool generate`, so that their bytes are equal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gantool.runtime.provenance.marker import Marker, ZOf, parse_aigc
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.provenance.record import Record
from gantool.runtime.serve.options import ServeOptions

_MARKERS = 64  # to keep: clients ask for any truncation


@dataclass(frozen=True, eq=False)
class Marks:
    """What the marks of an engine's images say."""

    record: Record  # of what all images have in common
    credit: str | None
    aigc: str | None

    @classmethod
    def of(cls, options: ServeOptions, engine: Path, name: str) -> Marks | None:
        """Return the marks of `engine`, which runs on `name`; None if its images shall have none."""
        if options.mark == "none":
            return None
        return cls(Origin.of(engine).record(name), options.credit, options.aigc)

    def marker(self, truncation: float, background: str | None = None, z_of: ZOf | None = None) -> Marker:
        """Return what marks images of a truncation; `background`: colour that transparent images lie on."""
        if z_of is not None:
            return Marker(self._common(truncation, background), self.credit, self.aigc, z_of)
        return _kept(self, truncation, background)

    def to_json(self) -> dict[str, Any]:
        """Return what all marks of the engine say, for the tags of its answers."""
        return {**self.record.to_json(), "credit": self.credit, "aigc": self.aigc}

    def _common(self, truncation: float, background: str | None) -> Record:
        return replace(self.record, truncation=truncation, background=background)


@lru_cache(_MARKERS)
def _kept(marks: Marks, truncation: float, background: str | None) -> Marker:
    return Marker(marks._common(truncation, background), marks.credit, marks.aigc)


def check(options: ServeOptions) -> None:
    """Raise UsageError for an `aigc` that no mark can say."""
    if options.aigc is not None:
        parse_aigc(options.aigc)

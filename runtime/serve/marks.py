"""The marks of the images of a server: those of `gantool generate`, so that their bytes are equal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from gantool.runtime.authorship import Authorship
from gantool.runtime.generator import Generator
from gantool.runtime.provenance.marker import Marker, ZOf
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
    authorship: Authorship

    @classmethod
    def of(cls, options: ServeOptions, engine: Path, generator: Generator) -> Marks | None:
        """Return the marks of `engine`, which `generator` runs; None if its images shall have none."""
        if options.mark == "none":
            return None
        record = Origin.of(engine).record(generator.name)
        return cls(record, options.credit, options.aigc, generator.spec.authorship)

    def marker(self, truncation: float, background: str | None = None, z_of: ZOf | None = None) -> Marker:
        """Return what marks images of a truncation; `background`: colour that transparent images lie on."""
        if z_of is not None:
            return self.made(truncation, background, z_of)
        return _kept(self, truncation, background)

    @cached_property
    def said(self) -> dict[str, Any]:
        """What all marks of the engine say, as JSON, for the tag of every answer."""
        said = {"credit": self.credit, "aigc": self.aigc, **self.authorship.to_json()}
        return {**self.record.to_json(), **said}

    def made(self, truncation: float, background: str | None, z_of: ZOf | None = None) -> Marker:
        """Return a new marker, see `marker`."""
        record = replace(self.record, truncation=truncation, background=background)
        return Marker(record, self.credit, self.aigc, z_of, self.authorship)


@lru_cache(_MARKERS)
def _kept(marks: Marks, truncation: float, background: str | None) -> Marker:
    return marks.made(truncation, background)

"""What `gantool authenticate` says of one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gantool.runtime.errors import VerificationError
from gantool.runtime.process.terminal import printable
from gantool.runtime.provenance.compare import Compared, Outcome

Kind = Literal[Outcome, "several", "unmarked", "found", "unreadable"]
_WORDS: dict[Kind, str] = {
    "authentic": "authentic, bit for bit",
    "close": "authentic within {levels} (other engine)",
    "unproven": "not proven",
    "copy": "not the original file",
    "altered": "altered",
    "other": "of another generator",
    "several": "a sheet or a film",
    "unmarked": "no mark",
    "found": "no mark",
    "unreadable": "unreadable",
}


@dataclass(frozen=True)
class Verdict:
    """What one file turned out to be."""

    file: Path
    kind: Kind
    note: str = ""
    seed: str | None = None  # of its mark, or that was found
    compared: Compared | None = None

    @property
    def authentic(self) -> bool:
        """Whether the file is as the generator made it."""
        return self.kind in ("authentic", "close")

    @property
    def pictures(self) -> bool:
        """Whether it has pictures of what differs."""
        return self.compared is not None and self.compared.pair is not None

    def without_pictures(self) -> Verdict:
        """Return the verdict alone: pictures of thousands of altered files do not fit into memory."""
        return self if self.compared is None else replace(self, compared=replace(self.compared, pair=None))

    def line(self) -> str:
        """Return the file and the verdict in one line; a name may hold line breaks."""
        return f"{printable(str(self.file))}  {self.text()}"

    def text(self) -> str:
        """Return the verdict in words."""
        words = _WORDS[self.kind].format(levels=levels_text(self.compared.levels if self.compared else 0))
        return f"{words}: {self.note}" if self.note else words

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        found = self.compared
        return {
            "file": str(self.file),
            "verdict": self.kind,
            "authentic": self.authentic,
            "seed": self.seed,
            "levels": found.levels if found else None,
            "altered_share": found.share if found else None,
            "note": self.note,
        }


def all_authentic(verdicts: Sequence[Verdict]) -> tuple[bool, str]:
    """Return whether all files are authentic, and how many are, in words."""
    good = sum(verdict.authentic for verdict in verdicts)
    return good == len(verdicts), f"{good:,} of {len(verdicts):,} images are authentic"


def check(verdicts: Sequence[Verdict]) -> None:
    """Raise VerificationError if a file is not authentic."""
    good, summary = all_authentic(verdicts)
    if not good:
        raise VerificationError(summary)


def levels_text(count: int) -> str:
    """Return a number of grey levels in words."""
    return f"{count} grey level{'' if count == 1 else 's'}"

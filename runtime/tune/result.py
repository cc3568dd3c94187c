"""What a measurement comes to: the front of quality and cost, the best within the budget, or what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

from gantool.runtime.bench.launch import machine
from gantool.runtime.errors import EngineMismatchError
from gantool.runtime.tune import quality, rounds
from gantool.runtime.tune.options import Budget, TuneOptions
from gantool.runtime.tune.quality import Judged, Measure, Scale
from gantool.runtime.tune.rows import FIGURES, Candidate, Figure, Row

SHARES = (0.75, 0.5, 0.25, 0.12, 0.06, 0.03, 0.01)  # of the multiply-adds, to propose


def tune(candidates: Sequence[Candidate], options: TuneOptions, measure: Measure | None = None) -> Tuned:
    """Measure candidates on this machine, and compare their images. The first in FP32 is the reference.

    measure: of the images of each file; None: see `quality`. Raises GantoolError if no candidate runs here.
    """
    measured = rounds.measure(candidates, options)
    judged = quality.judge(measured.rows, measure)
    rows = tuple(replace(row, quality=judged.values.get(quality.key_of(row))) for row in measured.rows)
    warnings = (*measured.warnings, *judged.warnings)
    return Tuned(rows, options.budget, judged, measured.energy, warnings)


@dataclass(frozen=True)
class Tuned:
    """The rows of all candidates that run here."""

    rows: tuple[Row, ...]
    budget: Budget
    judged: Judged
    energy: tuple[str, ...]  # what it is that of, or why there is none
    warnings: tuple[str, ...]

    @property
    def scale(self) -> Scale:
        """The unit of quality."""
        return self.judged.scale

    @cached_property
    def limits(self) -> tuple[tuple[Figure, float], ...]:
        """The figures that the budget limits, with their limits."""
        given = ((figure, getattr(self.budget, figure.option)) for figure in FIGURES)
        return tuple((figure, limit) for figure, limit in given if limit is not None)

    @cached_property
    def cost(self) -> Figure:
        """What decides between rows of equal quality: the time, rate or energy that is limited, else the time."""
        limited = (figure for figure, _ in self.limits if figure.option != "size")
        return next(limited, FIGURES[0])

    @cached_property
    def front(self) -> tuple[Row, ...]:
        """The rows that no other row beats, the cheapest first."""
        figures = {figure.option: figure for figure in (self.cost, *(figure for figure, _ in self.limits))}
        compared = [row for row in self.rows if row.quality is not None]
        kept = [row for row in compared if not self._beaten(row, compared, tuple(figures.values()))]
        return tuple(sorted(kept, key=lambda row: self.cost.excess(row, 1.0)))

    def _beaten(self, row: Row, others: Sequence[Row], figures: Sequence[Figure]) -> bool:
        """Return whether another row costs no more and is better, or costs less and is as good."""
        costs = [figure.excess(row, 1.0) for figure in figures]
        for other in others:
            theirs = [figure.excess(other, 1.0) for figure in figures]
            if any(one > own for one, own in zip(theirs, costs, strict=True)):
                continue
            quality, own = other.quality or 0.0, row.quality or 0.0
            if not self.scale.as_good(own, quality) or (theirs != costs and self.scale.as_good(quality, own)):
                return True
        return False

    def fits(self, row: Row) -> bool:
        """Return whether a row keeps to the budget, quality aside."""
        return all(figure.excess(row, limit) <= 1 for figure, limit in self.limits)

    def good_enough(self, row: Row) -> bool:
        """Return whether the images of a row are as good as the budget asks for."""
        limit = self.budget.quality
        if row.quality is None:
            return False
        return limit is None or (row.quality >= limit if self.scale.more else row.quality <= limit)

    @cached_property
    def best(self) -> Row | None:
        """The best row within the budget; None if nothing fits, or without a budget.

        With a quality, the cheapest that is good enough. Else the best images, and of equally good ones the
        cheapest.
        """
        if not self.budget:
            return None
        fitting = [row for row in self.rows if self.fits(row) and self.good_enough(row)]
        if fitting and self.budget.quality is None:
            most = max(fitting, key=self._goodness).quality or 0.0
            fitting = [row for row in fitting if self.scale.as_good(row.quality or 0.0, most)]
        return min(fitting, key=lambda row: self.cost.excess(row, 1.0), default=None)

    def commands(self, base: Path, applied: bool) -> list[str]:
        """Return the commands that make the best file, as BASE, and run it; [] if there is none."""
        row = self.best
        if row is None:
            return []
        candidate = row.candidate
        target = base.with_name(base.name + candidate.suffix)
        made = candidate.make is not None or applied
        make = [] if applied or candidate.make is None else [f"{candidate.make} -o {quote(str(base))}"]
        return [*make, row.command(target if made else candidate.file)]

    def check(self) -> None:
        """Raise EngineMismatchError if nothing keeps to the budget: say by how much, and what to do."""
        if self.budget and self.best is None:
            raise EngineMismatchError(" ".join(self._missing()))

    def _missing(self) -> Iterator[str]:
        """Yield sentences: what comes nearest, and what to distil."""
        compared = [row for row in self.rows if row.quality is not None]
        within = [row for row in compared if self.fits(row)]
        good = [row for row in compared if self.good_enough(row)]
        near = min(good or compared, key=self._excess)
        if within or not good:
            best = max(within or compared, key=self._goodness)
            among = "of all that keeps to the rest" if within else "of all files"
            yield (
                f"`quality` {self.budget.quality:g}: {among}, {best.candidate.name} has the best images, with "
                f"{self.scale.title} {self.scale.text(best.quality)}."
            )
        if within and not good:
            yield "Train longer (gantool train --resume latest), or ask for less"
            return
        for figure, limit in self.limits:
            if (times := figure.excess(near, limit)) > 1:
                value = figure.of(near)
                found = figure.text(value) if value else "nothing"
                yield (
                    f"`{figure.option}`: at {'least' if figure.more else 'most'} {figure.text(limit)}. "
                    f"{near.candidate.name} comes nearest, with {found} ({near.where}, batch {near.batch}), "
                    f"{times:.3g} times what it may cost."
                )
        excess, source = self._excess(near), quote(self.rows[0].candidate.source)
        source = "RUN" if source.endswith(".tar") else source  # which the bundle was made of
        share = next((share for share in SHARES if share * excess <= 0.9), SHARES[-1])
        yield (
            f"Distil a student with about {share:g} of its multiply-adds (gantool distill {source} --macs "
            f"{share:g}), then tune again with the student's run as a second source"
        )

    def _goodness(self, row: Row) -> float:
        quality = row.quality
        return -math.inf if quality is None else quality if self.scale.more else -quality

    def _excess(self, row: Row) -> float:
        """Return how often a row needs what it may, in the figure where it is worst."""
        return max((figure.excess(row, limit) for figure, limit in self.limits), default=0.0)

    def to_json(self, base: Path) -> dict[str, Any]:
        """Return the JSON object that `gantool tune --json` prints."""
        front = set(map(id, self.front))
        rows = [
            {
                **row.to_json(),
                "front": id(row) in front,
                "fits": self.fits(row) and self.good_enough(row),
                "best": row is self.best,
            }
            for row in self.rows
        ]
        return {
            "rows": rows,
            "commands": self.commands(base, applied=False),
            "quality": {"name": self.scale.title, "about": self.scale.about},
            "energy": list(self.energy),
            "warnings": list(self.warnings),
            "machine": machine(),
        }


def table(found: Tuned) -> str:
    """Return the front as a table for people."""
    energy = any(row.mj_per_image is not None for row in found.front)
    width = max(4, *(len(row.candidate.name) for row in found.front))
    places = max(7, *(len(row.where) for row in found.front))
    head = f"  {'file':{width}}  {'runs on':{places}}  {'batch':>5}  {'ms':>8}  {'p90':>8}  {'images/s':>9}"
    lines = [f"{head}{'  mJ/img' if energy else ''}  {'size':>8}  {found.scale.title:>8}"]
    size = FIGURES[-1]
    for row in found.front:
        line = f"{'*' if row is found.best else ' '} {row.candidate.name:{width}}  {row.where:{places}}  "
        line += f"{row.batch:>5}  {row.ms:>8.3f}  {row.p90:>8.3f}  {row.images_per_second:>9.1f}"
        if energy:
            line += f"  {'-' if row.mj_per_image is None else f'{row.mj_per_image:.2f}':>6}"
        lines.append(f"{line}  {size.text(size.of(row) or 0.0):>8}  {found.scale.text(row.quality):>8}")
    lines.append(found.scale.about)
    if others := len(found.rows) - len(found.front):
        lines.append(
            f"{others} more {'row costs more and is' if others == 1 else 'rows cost more and are'} not better"
        )
    return "\n".join(lines)
